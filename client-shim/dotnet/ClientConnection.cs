using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>
/// One connection: any thread may ask, one thread reads the answers and hands each to who waits for it. It ends once, with a reason; every
/// request that is then unanswered fails with it.
/// </summary>
internal sealed class ClientConnection : IDisposable
{
    private readonly SafeSocketFd _socket;
    private readonly SafeEventFd _stop = EventFd.Create();
    private readonly Lock _gate = new();
    private readonly Lock _sending = new();
    private readonly Dictionary<uint, TaskCompletionSource<Answer>> _waiting = [];
    private readonly byte[] _sendBuffer = new byte[ProtocolLimits.MaxMessage];
    private readonly TaskCompletionSource<UffdManagerException> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private UffdManagerException? _reason;
    private uint _lastId;
    private uint _byeId;

    private ClientConnection(SafeSocketFd socket)
    {
        _socket = socket;
        new Thread(Read) { IsBackground = true, Name = "uffd-manager client" }.Start();
    }

    /// <summary>Completes with the reason when the connection is over.</summary>
    public Task<UffdManagerException> Ended => _ended.Task;

    /// <summary>
    /// Whether the session is over for good: the manager has agreed to a BYE, or has said that it ended or killed it. Settled before
    /// <see cref="Ended"/> completes. To look at the answer instead, which another thread gets, would be too late: the manager closes right
    /// behind it, and a closed connection without this is a lost one, whose session would be begun anew.
    /// </summary>
    public bool IsSessionOver { get; private set; }

    /// <summary>Connects; may wait while the manager's backlog is full.</summary>
    /// <exception cref="UffdManagerException">Nobody listens, or not for us.</exception>
    public static async Task<ClientConnection> OpenAsync(string path, CancellationToken cancellationToken)
    {
        Task<SafeSocketFd> connecting = Task.Run(() => UnixSocket.Connect(path, UnixSocketType.SeqPacket), cancellationToken);
        try
        {
            return new ClientConnection(await connecting.WaitAsync(cancellationToken).ConfigureAwait(false));
        }
        catch (SyscallException e)
        {
            throw new UffdManagerException(e.Errno, $"the manager cannot be reached: {e.Message}", e);
        }
        catch (OperationCanceledException)
        {
            // connect(2) goes on waiting, at a manager that does not accept; what it yields nobody wants.
            _ = connecting.ContinueWith(
                static late => late.Result.Dispose(),
                CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion,
                TaskScheduler.Default);
            throw;
        }
    }

    /// <summary>Sends a request and waits for its answer.</summary>
    /// <param name="message">The request.</param>
    /// <param name="descriptor">The descriptor that goes with it; stays the caller's.</param>
    /// <param name="cancellationToken">Ends the waiting; the request is carried out all the same.</param>
    /// <returns>The answer; who gets it owns its descriptor.</returns>
    /// <exception cref="UffdManagerException">Refused, or the connection is over.</exception>
    public async Task<Answer> AskAsync(Message message, SafeFd? descriptor, CancellationToken cancellationToken)
    {
        var waiting = new TaskCompletionSource<Answer>(TaskCreationOptions.RunContinuationsAsynchronously);
        uint id = Send(message, descriptor, waiting);
        using CancellationTokenRegistration registration = cancellationToken.Register(() => Abandon(id, waiting, cancellationToken));
        Answer answer = await waiting.Task.ConfigureAwait(false);
        if (answer.Message is not ErrorMessage error)
            return answer;
        answer.Dispose();
        throw new UffdManagerException(error);
    }

    /// <summary>Ends the connection; the reader closes the socket.</summary>
    public void Dispose()
    {
        try
        {
            EventFd.Signal(_stop);
        }
        catch (ObjectDisposedException)
        {
            // The connection has ended by itself.
        }
    }

    private uint Send(Message message, SafeFd? descriptor, TaskCompletionSource<Answer> waiting)
    {
        lock (_sending)
        {
            uint id = ++_lastId == 0 ? ++_lastId : _lastId;
            int length = MessageCodec.Encode(message, id, HeaderFlags.None, _sendBuffer);
            lock (_gate)
            {
                if (_reason is { } reason)
                    throw new UffdManagerException(reason.Errno, reason.Message, reason);
                _waiting.Add(id, waiting);
                if (message is ByeMessage)
                    _byeId = id;
            }

            // Waits while the manager is busy with our earlier requests and the socket is full of them.
            Errno errno = TrySend(length, descriptor);
            if (errno == Errno.OK)
                return id;
            lock (_gate)
                _waiting.Remove(id);
            throw new UffdManagerException(errno, $"the manager has closed the connection: {errno.Describe()}");
        }
    }

    private Errno TrySend(int length, SafeFd? descriptor)
    {
        try
        {
            return UnixSocket.Send(_socket, _sendBuffer.AsSpan(0, length), descriptor is null ? [] : [descriptor], dontWait: false);
        }
        catch (ObjectDisposedException)
        {
            // The reader has ended meanwhile.
            return Errno.EPIPE;
        }
    }

    private void Abandon(uint id, TaskCompletionSource<Answer> waiting, CancellationToken cancellationToken)
    {
        lock (_gate)
            _waiting.Remove(id);
        waiting.TrySetCanceled(cancellationToken);
    }

    private void Read()
    {
        UffdManagerException reason;
        try
        {
            reason = ReadUntilEnd();
        }
        catch (SyscallException e)
        {
            reason = new UffdManagerException(e.Errno, $"the connection to the manager failed: {e.Message}", e);
        }

        TaskCompletionSource<Answer>[] unanswered;
        lock (_gate)
        {
            _reason = reason;
            unanswered = [.. _waiting.Values];
            _waiting.Clear();
        }

        _socket.Dispose();
        _stop.Dispose();
        foreach (TaskCompletionSource<Answer> waiting in unanswered)
            waiting.TrySetException(new UffdManagerException(reason.Errno, reason.Message, reason));
        _ended.SetResult(reason);
    }

    private UffdManagerException ReadUntilEnd()
    {
        using SafeEpoll epoll = Epoll.Create();
        Epoll.Add(epoll, _socket, EpollEvents.In, 0);
        Epoll.Add(epoll, _stop, EpollEvents.In, 1);
        using FdLease lease = epoll.Lease();
        Span<EpollEvent> events = stackalloc EpollEvent[2];
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        using var descriptors = new DescriptorSet();
        while (true)
        {
            int count = Epoll.Wait(lease, events, -1);
            foreach (EpollEvent report in events[..count])
            {
                if (report.Key == 1)
                    return new UffdManagerException(Errno.ESHUTDOWN, "the client has closed the connection");
            }

            if (count > 0 && ReadAll(buffer, descriptors) is { } reason)
                return reason;
        }
    }

    private UffdManagerException? ReadAll(byte[] buffer, DescriptorSet descriptors)
    {
        bool reset = false;
        while (true)
        {
            Errno errno = UnixSocket.Receive(_socket, buffer, descriptors, dontWait: true, out ReceivedMessage received);
            if (errno == Errno.EAGAIN)
                return null;

            // Told once, ahead of a last message that may be waiting: the manager closed while something of ours was unread.
            if (errno == Errno.ECONNRESET && !reset)
            {
                reset = true;
                continue;
            }

            if (errno != Errno.OK || received.EndOfStream)
            {
                descriptors.Clear();
                return new UffdManagerException(errno == Errno.OK ? Errno.ECONNRESET : errno, "the manager has closed the connection");
            }

            DecodeError error = MessageCodec.Decode(buffer.AsSpan(0, received.Length), descriptors.Count, out MessageHeader header, out Message? message);
            if (error == DecodeError.UnknownType)
            {
                descriptors.Clear();
                Decline(header);
                continue;
            }

            if (error != DecodeError.None || received.Truncated || received.ControlTruncated)
            {
                descriptors.Clear();
                return new UffdManagerException(Errno.EPROTO, $"the manager sent what is not a message: {error}");
            }

            if (Take(header, message!, descriptors) is { } reason)
                return reason;
        }
    }

    private UffdManagerException? Take(MessageHeader header, Message message, DescriptorSet descriptors)
    {
        if (message is GoodbyeMessage goodbye)
        {
            IsSessionOver = goodbye.Reason is GoodbyeReason.SessionEnded or GoodbyeReason.Killed;
            return new UffdManagerException(Errno.ECONNRESET, $"the manager said goodbye: {goodbye.Text}");
        }

        // About the connection as a whole, and its last message.
        if (header.RequestId == 0 && message is ErrorMessage error)
            return new UffdManagerException(error);

        var answer = new Answer(message, descriptors.Count > 0 ? descriptors.Take<SafeFile>(0) : null);
        descriptors.Clear();
        TaskCompletionSource<Answer>? waiting;
        lock (_gate)
        {
            _waiting.Remove(header.RequestId, out waiting);
            IsSessionOver = _byeId != 0 && header.RequestId == _byeId && message is DoneMessage;
        }

        if (waiting is null || !waiting.TrySetResult(answer))
            answer.Dispose();
        return IsSessionOver ? new UffdManagerException(Errno.ESHUTDOWN, "the session has ended") : null;
    }

    // A newer manager may ask an agent for things that this library cannot do.
    private void Decline(MessageHeader header)
    {
        if (header.RequestId == 0)
            return;
        lock (_sending)
        {
            var error = new ErrorMessage((int)Errno.EOPNOTSUPP, (uint)ErrorCode.UnknownType, ErrorFlags.None, 0, 0, 0, 0, "", "unknown type");
            int length = MessageCodec.Encode(error, header.RequestId, HeaderFlags.Reply, _sendBuffer);
            _ = UnixSocket.Send(_socket, _sendBuffer.AsSpan(0, length), [], dontWait: true);
        }
    }
}
