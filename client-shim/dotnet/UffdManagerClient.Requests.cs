using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <content>What can be asked of a session. Each request throws <see cref="UffdManagerException"/> when the manager refuses.</content>
public sealed partial class UffdManagerClient
{
    /// <summary>Puts a range of this process under the manager.</summary>
    /// <param name="start">First byte, page aligned.</param>
    /// <param name="length">Bytes, a multiple of the page size.</param>
    /// <param name="options">What it contains; null for anonymous memory under the session's default policy.</param>
    /// <param name="cancellationToken">Ends the waiting; the range may be registered all the same.</param>
    public async Task RegisterAsync(ulong start, ulong length, RegisterOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= RegisterOptions.Default;
        var request = new RegisterMessage(start, length, options.Modes, options.Flags, options.SourceOffset, 0, options.Policy, options.SourcePath);
        var registration = new Registration(request, options.SourceFile?.Duplicate<SafeFile>(), options.Object);

        // Known before it is asked for: if the manager dies in between, the next one has to be told what the range contains.
        Registration[] replaced = _registrations.Add(registration);
        try
        {
            (await RequestAsync(registration.Message, registration.Source, cancellationToken).ConfigureAwait(false)).As<RegisteredMessage>();
        }
        catch (UffdManagerException)
        {
            _registrations.Undo(registration, replaced);
            registration.Source?.Dispose();
            throw;
        }
    }

    /// <summary>Ends the manager's care of a range: pages that are missing read as zeros from then on.</summary>
    public async Task UnregisterAsync(ulong start, ulong length, CancellationToken cancellationToken = default)
    {
        (await RequestAsync(new UnregisterMessage(start, length), null, cancellationToken).ConfigureAwait(false)).As<DoneMessage>();
        _registrations.Remove(start, length);
    }

    /// <summary>Asks for a memfd that the manager fills and that the clients of the tenant share.</summary>
    /// <param name="length">Bytes, a multiple of the page size.</param>
    /// <param name="options">What it contains; null for the source of the session's default policy.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <returns>The object; the caller owns it.</returns>
    public async Task<MappedObject> MapAsync(ulong length, MapOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= new MapOptions();
        var request = new MapMessage(length, options.SourceOffset, options.Flags, options.Policy, options.SourcePath, options.Name);
        Answer answer = await RequestAsync(request, options.SourceFile, cancellationToken).ConfigureAwait(false);
        MappedMessage mapped = answer.As<MappedMessage>();
        SafeFile memfd = answer.Descriptor ?? throw new UffdManagerException(Errno.EPROTO, "the manager did not send the object");
        return new MappedObject(request, options.SourceFile?.Duplicate<SafeFile>(), mapped.MapId, memfd);
    }

    /// <summary>Fills a range ahead of its faults; completes when it is populated.</summary>
    /// <returns>Bytes installed.</returns>
    public async Task<ulong> PrefetchAsync(ulong start, ulong length, CancellationToken cancellationToken = default) =>
        (await RequestAsync(new PrefetchMessage(start, length), null, cancellationToken).ConfigureAwait(false)).As<DoneMessage>().Value;

    /// <summary>Wakes the threads that wait in a range; a page that is still missing is asked for again.</summary>
    public async Task WakeAsync(ulong start, ulong length, CancellationToken cancellationToken = default) =>
        (await RequestAsync(new WakeMessage(start, length), null, cancellationToken).ConfigureAwait(false)).As<DoneMessage>();

    /// <summary>Protects the pages of a range against writing, or ends that. The range needs <see cref="RegisterModes.WriteProtect"/>.</summary>
    public async Task WriteProtectAsync(ulong start, ulong length, bool protect, CancellationToken cancellationToken = default) =>
        (await RequestAsync(new WriteProtectMessage(start, length, protect), null, cancellationToken).ConfigureAwait(false)).As<DoneMessage>();

    /// <summary>The session's numbers.</summary>
    public async Task<StatusReplyMessage> StatusAsync(CancellationToken cancellationToken = default) =>
        (await RequestAsync(new StatusMessage(), null, cancellationToken).ConfigureAwait(false)).As<StatusReplyMessage>();

    /// <summary>The range is gone: whoever unmaps registered memory need not tell the manager, the kernel does.</summary>
    internal void Forget(ulong start, ulong length) => _registrations.Remove(start, length);

    // Whoever lost the connection cannot know whether the request was carried out, and says it again. That is possible with all of them: what a
    // request asks for is a state, and the state is then already there.
    private async Task<Answer> RequestAsync(Message message, SafeFd? descriptor, CancellationToken cancellationToken)
    {
        Link link = Volatile.Read(ref _link);
        bool repeated = false;
        while (true)
        {
            try
            {
                return await link.Connection.AskAsync(message, descriptor, cancellationToken).ConfigureAwait(false);
            }
            catch (UffdManagerException e) when (e.IsConnectionLost && _options.Reconnect)
            {
                link = await link.Next.WaitAsync(cancellationToken).ConfigureAwait(false);
                repeated = true;
            }
            catch (UffdManagerException e) when (repeated && e.Code == ErrorCode.NotFound && WhenDoneAlready(message) is { } answer)
            {
                return new Answer(answer, null);
            }
        }
    }

    // What a repeated request finds that was carried out: UNREGISTER no range any more; REGISTER of an object, at a manager that did not make the
    // object, a range that was registered with the object's source while the session was taken there.
    private static Message? WhenDoneAlready(Message message) => message switch
    {
        UnregisterMessage => new DoneMessage(0),
        RegisterMessage register when (register.Flags & RegisterFlags.FromMap) != RegisterFlags.None => new RegisteredMessage(0, 0),
        _ => null,
    };
}
