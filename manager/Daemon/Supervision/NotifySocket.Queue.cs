using UffdManager.Linux;

namespace UffdManager.Daemon.Supervision;

/// <content>What does not fit into the socket at once.</content>
internal sealed partial class NotifySocket
{
    /// <summary>Messages that may wait, but for vital ones.</summary>
    internal const int MaxQueued = 8192;

    /// <summary>Duplicates of descriptors that may wait with them.</summary>
    internal const int MaxQueuedDescriptors = 16384;

    // How long one attempt of the sender waits for room before it looks whether it is to end.
    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(200);

    // The kernel lacks memory, or the user has too many descriptors under way: nothing tells when that is over.
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(10);

    private Thread? _sender;
    private bool _saidFull;

    /// <summary>Waits until everything that was sent is in the service manager's socket.</summary>
    /// <returns>False when it took longer.</returns>
    public async Task<bool> FlushAsync(TimeSpan timeout)
    {
        Task drained;
        lock (_gate)
        {
            if (_queue.Count == 0)
                return true;
            TaskCompletionSource completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
            _queue.Enqueue(new Pending([], [], completion));
            drained = completion.Task;
        }

        // The delay is the deadline alone: the queue itself says when it is empty.
        return await Task.WhenAny(drained, Task.Delay(timeout)) == drained;
    }

    private NotifyOutcome Enqueue(byte[] bytes, ReadOnlySpan<SafeFd> descriptors, bool isVital, out string? problem)
    {
        problem = null;
        if (!isVital && (_queue.Count >= MaxQueued || _queuedDescriptors + descriptors.Length > MaxQueuedDescriptors))
        {
            if (!_saidFull)
                problem = $"the service manager does not read its messages: {_queue.Count} wait, no more are kept";
            _saidFull = true;
            return NotifyOutcome.Refused;
        }

        SafeFd[] duplicates = new SafeFd[descriptors.Length];
        try
        {
            for (int i = 0; i < duplicates.Length; i++)
                duplicates[i] = descriptors[i].Duplicate<SafeFile>();
        }
        catch (SyscallException e)
        {
            foreach (SafeFd? duplicate in duplicates)
                duplicate?.Dispose();
            problem = $"a message to the service manager cannot be kept until it is read: {e.Message}";
            return NotifyOutcome.Refused;
        }

        _queuedDescriptors += duplicates.Length;
        _queue.Enqueue(new Pending(bytes, duplicates, null));
        if (_sender is null)
        {
            _sender = new Thread(SendQueued) { IsBackground = true, Name = "notify" };
            _sender.Start();
        }

        _work.Release();
        return NotifyOutcome.Queued;
    }

    private void SendQueued()
    {
        while (!_disposed)
        {
            _work.Wait();
            while (!_disposed && Peek() is { } next)
            {
                Errno errno = next.Bytes.Length == 0 ? Errno.OK : SendWaiting(next);
                if (IsTransient(errno))
                    continue;
                string? problem = null;
                lock (_gate)
                {
                    // The head leaves when it is sent and not before: as long as it is there, nobody passes it.
                    if (_queue.TryDequeue(out _))
                        _queuedDescriptors -= next.Descriptors.Length;
                    _saidFull &= _queue.Count > 0;
                    if (errno != Errno.OK)
                        Lose(errno, out problem);
                }

                next.Dispose();
                if (problem is not null)
                    Report(problem);
            }
        }

        lock (_gate)
            _socket?.Dispose();
    }

    private Pending? Peek()
    {
        lock (_gate)
            return _queue.TryPeek(out Pending? next) ? next : null;
    }

    // Outside of the lock: those who send meanwhile find the queue not empty and leave the socket alone.
    private Errno SendWaiting(Pending next)
    {
        try
        {
            Errno errno = TrySend(next.Bytes, next.Descriptors, dontWait: false);
            if (errno is not Errno.EAGAIN && IsTransient(errno))
                _work.Wait(s_pause);
            return errno;
        }
        catch (ObjectDisposedException)
        {
            // Disposed under our hands, with everything that waited.
            return Errno.ESHUTDOWN;
        }
    }

    private sealed record Pending(byte[] Bytes, SafeFd[] Descriptors, TaskCompletionSource? Completion) : IDisposable
    {
        public void Dispose()
        {
            foreach (SafeFd descriptor in Descriptors)
                descriptor.Dispose();
            Completion?.TrySetResult();
        }
    }
}
