using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// A listening socket of a <see cref="DoorThread"/>: accepts in batches, and pauses while there is no descriptor or memory left, or its owner wants nobody more. Who connects meanwhile
/// waits in the socket's queue, with all that it sends.
/// </summary>
internal sealed class DoorListener : IDoorMember
{
    // Between two batches of this many, connections that are already in get their turn.
    private const int AcceptBudget = 32;

    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    private readonly DoorThread _thread;
    private readonly SafeSocketFd _socket;
    private readonly Action<SafeSocketFd> _admit;
    private readonly Action<string> _failed;
    private readonly Func<TimeSpan>? _pause;
    private readonly ulong _key;
    private Action? _finished;
    private bool _closed;

    /// <param name="thread">Calls; also this.</param>
    /// <param name="socket">Listens and does not block; taken over.</param>
    /// <param name="admit">Takes a connection over.</param>
    /// <param name="failed">Hears that none can be accepted for the moment, and why.</param>
    /// <param name="pause">Asked before each who waits, but for the last ones (<see cref="Finish"/>): how long nobody is accepted; zero to accept. Null for never a pause.</param>
    /// <exception cref="SyscallException">It cannot be watched; the socket is closed.</exception>
    public DoorListener(DoorThread thread, SafeSocketFd socket, Action<SafeSocketFd> admit, Action<string> failed, Func<TimeSpan>? pause = null)
    {
        _pause = pause;
        _thread = thread;
        _socket = socket;
        _admit = admit;
        _failed = failed;
        _key = thread.Watch(this);
        try
        {
            Epoll.Add(thread.Poll, socket, EpollEvents.In, _key);
        }
        catch (SyscallException)
        {
            thread.Unwatch(_key);
            socket.Dispose();
            throw;
        }
    }

    /// <summary>When it goes on after a pause; 0 while there is none.</summary>
    public long Deadline { get; private set; }

    public void OnReady(EpollEvents events)
    {
        for (int i = 0; i < AcceptBudget && !_closed && Deadline == 0; i++)
        {
            // Where nobody waits, there is no pause to tell of.
            if (i > 0 && _finished is null && _pause is not null && !HasSomebody())
                return;
            if (_finished is null && _pause?.Invoke() is { Ticks: > 0 } pause)
            {
                Pause(pause);
                return;
            }

            SafeSocketFd? socket = UnixSocket.TryAccept(_socket, out Errno errno);
            if (socket is not null)
            {
                Admit(socket);
                continue;
            }

            if (errno is Errno.EAGAIN or Errno.EINVAL && _finished is { } finished)
            {
                Close();
                finished();
                return;
            }

            if (errno == Errno.EAGAIN)
                return;

            // A peer that gave up while it waited is nobody's trouble.
            if (errno == Errno.ECONNABORTED)
                continue;

            // No descriptor or memory left: the listener stays readable, and without a pause this loop would spin.
            Pause(s_pause);
            _failed(errno.Describe());
        }
    }

    public void OnDeadline() => Resume();

    /// <summary>Ends a pause: a descriptor or a place has become free, or the time is over.</summary>
    public void Resume()
    {
        if (Deadline == 0 || _closed)
            return;
        Deadline = 0;
        Epoll.Modify(_thread.Poll, _socket, EpollEvents.In, _key);
    }

    /// <summary>
    /// Lets nobody connect any more (ECONNREFUSED), whoever else holds the socket; admits who has connected, which takes as long as descriptors are short, and closes it.
    /// Without that those would wait for ever: their messages are in a queue that nobody reads, and their descriptors with them.
    /// </summary>
    /// <param name="finished">Called at the end, perhaps before this returns.</param>
    public void Finish(Action finished)
    {
        _finished = finished;
        UnixSocket.StopReceiving(_socket);
        Resume();
        while (!_closed && Deadline == 0)
            OnReady(EpollEvents.In);
    }

    public void Fail(Exception exception) =>
        throw new InvalidOperationException("a listening socket cannot be served any more", exception);

    /// <summary>Stops listening here; who else holds the socket goes on.</summary>
    public void Close()
    {
        if (_closed)
            return;
        _closed = true;
        Deadline = 0;
        Epoll.Remove(_thread.Poll, _socket);
        _thread.Unwatch(_key);
        _socket.Dispose();
    }

    // What fails for one who connects must not end the front door for all.
    private void Admit(SafeSocketFd socket)
    {
        try
        {
            _admit(socket);
        }
#pragma warning disable CA1031 // See above; the log has the defect.
        catch (Exception e)
#pragma warning restore CA1031
        {
            socket.Dispose();
            _failed(e.ToString());
        }
    }

    private bool HasSomebody()
    {
        using FdLease lease = _socket.Lease();
        return FdPoll.WaitReadable(lease, TimeSpan.Zero);
    }

    private void Pause(TimeSpan time)
    {
        Deadline = _thread.ExpectWithin(this, time);
        Epoll.Modify(_thread.Poll, _socket, EpollEvents.None, _key);
    }
}
