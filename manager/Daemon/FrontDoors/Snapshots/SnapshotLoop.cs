using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>The thread of the front door of snapshots. All sockets and connections belong to it.</summary>
internal sealed partial class SnapshotLoop : DoorThread
{
    /// <summary>Longest message, bytes. A Firecracker sends some hundred.</summary>
    public const int MaxMessage = 64 * 1024;

    // For those whom nobody could identify for lack of descriptors, when there is no later: a pidfd and a file of /proc.
    private readonly SafeEventFd[] _reserve = [EventFd.Create(), EventFd.Create()];
    private readonly LogThrottle _logThrottle;
    private int _open;
    private int _closing;
    private long _leaveBy;
    private Action<SnapshotSocket>? _leaveSocket;
    private Action<SnapshotPeer>? _leavePeer;

    public SnapshotLoop(SnapshotServices services)
        : base("snapshot door", services.Time)
    {
        Services = services;
        Keeper = new SnapshotKeeper(services.Store);
        _logThrottle = new LogThrottle(services.Time);
    }

    public SnapshotServices Services { get; }

    public SnapshotKeeper Keeper { get; }

    /// <summary>Where every message is received before it is appended to what its connection has.</summary>
    public byte[] ReceiveBuffer { get; } = new byte[MaxMessage];

    /// <summary>Whether nobody more may connect.</summary>
    public bool IsFull => _open >= Services.MaxConnections;

    /// <summary>Whether there are more connections than there may be, as after a restart with a lower limit.</summary>
    public bool IsOverfull => _open > Services.MaxConnections;

    /// <summary>Whether the thread ends and another manager goes on.</summary>
    public bool HasSuccessor { get; private set; }

    protected override long NextDue => _leaveBy != 0 ? _leaveBy : long.MaxValue;

    private IEnumerable<SnapshotPeer> Peers => Members.OfType<SnapshotPeer>();

    private IEnumerable<UnknownPeer> UnknownPeers => Members.OfType<UnknownPeer>();

    /// <summary>Begins to serve.</summary>
    public void Start() => StartThread();

    /// <summary>Closes the sockets, waits this long for VMs that are being taken over, and ends the thread; from any thread.</summary>
    /// <param name="patience">VMs that are not taken over by then are killed.</param>
    public Task StopAsync(TimeSpan patience)
    {
        Post(() => Leave(patience, socket => _ = CloseAsync(socket), peer => peer.Stop()));
        return Stopped;
    }

    /// <summary>
    /// Leaves sockets and connections to the next manager as they are, waits this long for VMs that are being taken over, and ends the thread; from any
    /// thread.
    /// </summary>
    public Task HandOverAsync(TimeSpan patience)
    {
        Post(() =>
        {
            HasSuccessor = _leaveBy == 0 || HasSuccessor;
            Leave(patience, LeaveToSuccessor, peer => peer.LeaveToSuccessor());
        });
        return Stopped;
    }

    /// <summary>If the thread is about to end, does with one who comes now what was done with all who were there.</summary>
    /// <returns>Whether it is.</returns>
    public bool TryLeave(SnapshotPeer peer)
    {
        _leavePeer?.Invoke(peer);
        return _leavePeer is not null;
    }

    /// <summary>Takes a connection on.</summary>
    public void Admit(SnapshotSocket socket, SafeSocketFd connection)
    {
        // First of all: who was accepted by a manager that is killed now would wait for ever. (At a socket that ends, nobody waits: each is refused before the next one is accepted.)
        long number = Keeper.NextNumber();
        bool isStored = Services.Store.IsPrompt && Keeper.StorePeer(socket.Number, number, connection);
        Admit(socket, connection, number, isStored, FormerManager.None);
    }

    /// <summary>A connection is over.</summary>
    /// <param name="key">Of <see cref="DoorThread.Watch"/>.</param>
    /// <param name="from">Where it came in.</param>
    /// <param name="uid">Its user.</param>
    /// <param name="isStranger">See <see cref="SnapshotSocket.Exit"/>.</param>
    public void Forget(ulong key, SnapshotSocket from, uint uid, bool isStranger)
    {
        Unwatch(key);
        _open--;
        from.Exit(uid, isStranger);
        foreach (SnapshotSocket socket in _sockets.Values)
            socket.Resume();
    }

    protected override void OnTurn(long now)
    {
        if (_leaveBy == 0 || ((_open > 0 || _closing > 0 || _opening.Count > 0) && _leaveBy > now))
            return;
        foreach (UnknownPeer peer in UnknownPeers.ToArray())
            Guard(peer, peer.LeaveNow);
        foreach (SnapshotPeer peer in Peers)
            Guard(peer, peer.LeaveNow);
        End();
    }

    protected override void Dispose(bool disposing)
    {
        Array.ForEach(_reserve, number => number.Dispose());
        base.Dispose(disposing);
    }

    private void Admit(SnapshotSocket socket, SafeSocketFd connection, long number, bool isStored, FormerManager former)
    {
        if (TryAdmit(connection, out uint uid))
            return;
        Enter(socket, uid);
        LogUnknown(socket.Options.Path);
        _ = new UnknownPeer(this, socket, connection, isStored, waiting => TryAdmit(waiting, out _));

        bool TryAdmit(SafeSocketFd waiting, out uint uid) => this.TryAdmit(socket, waiting, number, isStored, former, out uid);
    }

    private void Enter(SnapshotSocket socket, uint uid)
    {
        _open++;
        socket.Enter(uid);
    }

    private bool TryAdmit(SnapshotSocket socket, SafeSocketFd connection, long number, bool isStored, FormerManager former, out uint uid)
    {
        PeerProcess? process;
        Errno errno;
        try
        {
            process = Services.Identify(connection, out uid, out errno);
        }
#pragma warning disable CA1031 // What fails for one who connects must not end the front door for all; the log has the defect, and it is tried again.
        catch (Exception e)
#pragma warning restore CA1031
        {
            LogNotIdentified(e, socket.Options.Path);
            (process, uid, errno) = (null, UnixSocket.GetPeerCredentials(connection).Uid, Errno.ENOMEM);
        }

        if (process is not null)
        {
            Enter(socket, uid);
            SnapshotPeer peer = new(this, socket, connection, process, number, isStored, former);
            Guard(peer, peer.Begin);
            return true;
        }

        if (errno is not (Errno.ESRCH or Errno.ECHILD or Errno.EINVAL))
            return false;
        Services.Telemetry.PeerRefused(SnapshotDoor.DoorName, PeerRefusal.PeerGone);
        LogTurnedAway($"a process of uid {uid}", socket.Options.Path, errno == Errno.ECHILD
            ? "it is outside the manager's pid namespace, where it can neither be served nor ended, and will hang if it has handed its memory over: end it"
            : "it has gone");
        socket.ChargeStranger();
        if (isStored)
            Keeper.RemovePeer(socket.Number, number);
        connection.Dispose();
        return true;
    }

    private void Leave(TimeSpan patience, Action<SnapshotSocket> leaveSocket, Action<SnapshotPeer> leavePeer)
    {
        if (_leaveBy != 0)
            return;
        _leaveBy = DueIn(patience);
        (_leaveSocket, _leavePeer) = (leaveSocket, leavePeer);
        foreach (SnapshotPeer peer in Peers.ToArray())
            Guard(peer, () => leavePeer(peer));

        // Now or never.
        Array.ForEach(_reserve, number => number.Dispose());
        foreach (UnknownPeer peer in UnknownPeers.ToArray())
            Guard(peer, peer.OnDeadline);
        foreach (SnapshotSocket socket in _sockets.Values.ToArray())
            leaveSocket(socket);
        _sockets.Clear();
    }

    private void LeaveToSuccessor(SnapshotSocket socket)
    {
        if (socket.IsKept)
            socket.Leave();
        else
            _ = CloseAsync(socket);
    }

    // Who had connected and was not let in yet is refused, not forgotten.
    private async Task CloseAsync(SnapshotSocket socket)
    {
        _closing += 2;
        await socket.CloseAsync(() => _closing--);
        _closing--;
    }
}
