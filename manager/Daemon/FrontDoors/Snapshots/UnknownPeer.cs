using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>
/// Who connected when there was no descriptor left to find out who it is. Closed, the connection would take the message along that may be in it, and its sender would wait for ever. So it
/// is looked again until there is one. Belongs to the front door's thread.
/// </summary>
internal sealed class UnknownPeer : IDoorMember
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(100);

    private readonly SnapshotLoop _loop;
    private readonly SnapshotSocket _listener;
    private readonly SafeSocketFd _connection;
    private readonly uint _uid;
    private readonly bool _isStored;
    private readonly Func<SafeSocketFd, bool> _admit;
    private readonly ulong _key;

    /// <param name="loop">Calls.</param>
    /// <param name="listener">Where it came in.</param>
    /// <param name="connection">Taken over.</param>
    /// <param name="isStored">Whether the next manager would find it.</param>
    /// <param name="admit">Tries to take the connection over; false while it is too early.</param>
    public UnknownPeer(SnapshotLoop loop, SnapshotSocket listener, SafeSocketFd connection, bool isStored, Func<SafeSocketFd, bool> admit)
    {
        _loop = loop;
        _listener = listener;
        _connection = connection;
        _uid = UnixSocket.GetPeerCredentials(connection).Uid;
        _isStored = isStored;
        _admit = admit;
        _key = loop.Watch(this);
        Deadline = loop.ExpectWithin(this, s_pause);
    }

    public long Deadline { get; private set; }

    public void OnReady(EpollEvents events)
    {
    }

    public void OnDeadline()
    {
        Deadline = 0;

        // From here on it is charged as what it has turned out to be.
        if (_admit(_connection))
            _loop.Forget(_key, _listener, _uid, isStranger: false);
        else
            Deadline = _loop.ExpectWithin(this, s_pause);
    }

    /// <summary>The thread ends now: the next manager finds out who it is, if there is one that can.</summary>
    public void LeaveNow()
    {
        OnDeadline();
        if (Deadline != 0 && !(_loop.HasSuccessor && _isStored))
            _loop.LogLeftBehind(_listener.Options.Path, UnixSocket.GetPeerCredentials(_connection).Pid, _uid);
    }

    public void Fail(Exception exception) => Deadline = _loop.ExpectWithin(this, s_pause);
}
