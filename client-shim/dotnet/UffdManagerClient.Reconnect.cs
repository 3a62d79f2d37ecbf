using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <content>
/// What happens when the connection is lost. While this process holds the userfaultfd, faults wait in the kernel; the next manager reads them. It
/// is told the ranges again, then WAKE of everything says that it knows all of them.
/// </content>
public sealed partial class UffdManagerClient
{
    // Between an adoption and the WAKE that ends it; the supervisor's alone.
    private bool _adopting;

    private async Task SuperviseAsync()
    {
        while (true)
        {
            Link link = Volatile.Read(ref _link);
            UffdManagerException reason = await link.Connection.Ended.ConfigureAwait(false);
            if (link.Connection.IsSessionOver || !_options.Reconnect || _disposing.IsCancellationRequested)
            {
                link.End(reason);
                return;
            }

            try
            {
                (Link next, ReconnectedEventArgs report) = await ReconnectAsync(_disposing.Token).ConfigureAwait(false);
                Interlocked.Exchange(ref _link, next);
                if (_disposing.IsCancellationRequested)
                    next.Connection.Dispose();
                link.ReplaceBy(next);

                // What a handler does, or throws, is none of the session's business.
                _ = Task.Run(() => Reconnected?.Invoke(this, report));
            }
            catch (OperationCanceledException)
            {
                link.End(reason);
                return;
            }
        }
    }

    private async Task<(Link Link, ReconnectedEventArgs Report)> ReconnectAsync(CancellationToken cancellationToken)
    {
        TimeSpan backoff = _options.ReconnectBackoff;
        for (int attempt = 1; ; attempt++)
        {
            ClientConnection? connection = null;
            try
            {
                connection = await ClientConnection.OpenAsync(_path, cancellationToken).ConfigureAwait(false);
                return await RestoreAsync(connection, attempt, cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                connection?.Dispose();
                throw;
            }
            catch (UffdManagerException e) when (!e.IsConnectionLost)
            {
                connection?.Dispose();
                var refusal = new ReconnectRefusedEventArgs(attempt, e);
                _ = Task.Run(() => ReconnectRefused?.Invoke(this, refusal), CancellationToken.None);
            }
#pragma warning disable CA1031 // Giving up would leave faults, and later requests, waiting for ever.
            catch (Exception)
#pragma warning restore CA1031
            {
                // Nobody there yet, stopping, or no descriptors left.
                connection?.Dispose();
            }

            // Not in step with all the other clients that have lost the same manager.
            await Task.Delay(backoff * (0.5 + (Random.Shared.NextDouble() / 2)), cancellationToken).ConfigureAwait(false);
            backoff = TimeSpan.FromTicks(Math.Min(backoff.Ticks * 2, _options.ReconnectBackoffLimit.Ticks));
        }
    }

    private async Task<(Link Link, ReconnectedEventArgs Report)> RestoreAsync(ClientConnection connection, int attempt, CancellationToken cancellationToken)
    {
        const HelloFlags Flags = HelloFlags.Resume | HelloFlags.HasUffd | HelloFlags.ApiDone | HelloFlags.Adopt | HelloFlags.KeepsDescriptor;
        Message hello = Hello(_options, Flags, Volatile.Read(ref _welcome).ResumeToken);
        WelcomeMessage welcome = (await connection.AskAsync(hello, _uffd, cancellationToken).ConfigureAwait(false)).As<WelcomeMessage>();
        Dictionary<ulong, UffdManagerException> failed = [];

        // The new token at once: an adoption that is interrupted is resumed, not begun a second time.
        Volatile.Write(ref _welcome, welcome);
        bool resumed = (welcome.Flags & WelcomeFlags.Resumed) != WelcomeFlags.None && !_adopting;
        _adopting = !resumed;
        if (_adopting)
            await RegisterAgainAsync(connection, failed, cancellationToken).ConfigureAwait(false);
        _adopting = false;
        return (new Link(connection), new ReconnectedEventArgs(resumed, attempt, failed));
    }

    private async Task RegisterAgainAsync(ClientConnection connection, Dictionary<ulong, UffdManagerException> failed, CancellationToken cancellationToken)
    {
        foreach (Registration registration in _registrations.Snapshot())
        {
            try
            {
                (RegisterMessage message, SafeFile? source) = registration.ForAnotherManager();
                (await connection.AskAsync(message, source, cancellationToken).ConfigureAwait(false)).As<RegisteredMessage>();
            }
            catch (UffdManagerException e) when (e.Code == ErrorCode.Kernel)
            {
                // No longer mapped. Any other refusal ends this attempt: to go on without the range would fill it with the default policy's
                // zeros. Faults wait until the refusal is mended, or the manager kills the process because it takes too long.
                failed.Add(registration.Request.Start, e);
                _registrations.Remove(registration.Request.Start, registration.Request.Length);
            }
        }

        (await connection.AskAsync(new WakeMessage(0, 0), null, cancellationToken).ConfigureAwait(false)).As<DoneMessage>();
    }
}
