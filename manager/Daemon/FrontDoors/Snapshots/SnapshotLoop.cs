using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>The thread of the front door of snapshots. All sockets and connections belong to it.</summary>
internal sealed partial class SnapshotLoop : DoorThread
{
    /// <summary>Longest message, bytes. A Firecracker sends some hundred.</summary>
    public const int MaxMessage = 64 * 1024;

    private readonly Dictionary<string, SnapshotSocket> _sockets = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SnapshotEntry> _entries = new(StringComparer.OrdinalIgnoreCase);
    private readonly LogThrottle _logThrottle;
    private int _open;
    private long _leaveBy;

    public SnapshotLoop(SnapshotServices services)
        : base("snapshot door", services.Time)
    {
        Services = services;
        _logThrottle = new LogThrottle(services.Time);
    }

    public SnapshotServices Services { get; }

    /// <summary>Where every message is received before it is appended to what its connection has.</summary>
    public byte[] ReceiveBuffer { get; } = new byte[MaxMessage];

    protected override long NextDue => _leaveBy != 0 ? _leaveBy : long.MaxValue;

    private IEnumerable<SnapshotPeer> Peers => Members.OfType<SnapshotPeer>();

    /// <summary>Begins to serve.</summary>
    public void Start() => StartThread();

    /// <summary>Serves these snapshots and no others from now on; from any thread. VMs that came by another one go on.</summary>
    public Task ApplyAsync(IReadOnlyDictionary<string, SnapshotOptions> snapshots)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Post(() =>
        {
            Apply(snapshots);
            done.SetResult();
        });
        return Task.WhenAny(done.Task, Stopped);
    }

    /// <summary>Closes the sockets, waits this long for VMs that are being taken over, and ends the thread; from any thread.</summary>
    /// <param name="patience">VMs that are not taken over by then are killed.</param>
    public Task StopAsync(TimeSpan patience)
    {
        Post(() => Stop(patience));
        return Stopped;
    }

    /// <summary>Takes a connection on.</summary>
    public void Admit(SnapshotSocket socket, SafeSocketFd connection)
    {
        PeerProcess? process = PeerProcess.TryIdentify(connection, out uint uid);
        if (process is null)
        {
            Services.Telemetry.PeerRefused(SnapshotDoor.DoorName, PeerRefusal.PeerGone);
            LogTurnedAway($"a process of uid {uid}", socket.Options.Path, "it has gone or is outside the manager's pid namespace");
            connection.Dispose();
            return;
        }

        _open++;
        SnapshotPeer peer = new(this, socket, connection, process);
        Guard(peer, () => peer.Begin(isFull: _open > Services.MaxConnections));
    }

    /// <summary>A connection is over.</summary>
    public void Forget(ulong key)
    {
        Unwatch(key);
        _open--;
        foreach (SnapshotSocket socket in _sockets.Values)
            socket.Resume();
    }

    protected override void OnTurn(long now)
    {
        if (_leaveBy == 0 || (_open > 0 && _leaveBy > now))
            return;
        foreach (SnapshotPeer peer in Peers)
            Guard(peer, peer.LeaveNow);
        End();
    }

    private void Apply(IReadOnlyDictionary<string, SnapshotOptions> snapshots)
    {
        if (_leaveBy != 0)
            return;
        foreach (SnapshotEntry entry in _entries.Values.Where(entry => !snapshots.TryGetValue(entry.Name, out SnapshotOptions? options) || !Same(options, entry.Options)).ToArray())
            Remove(entry);

        // A socket stays if anything on it does: who connects meanwhile waits and is not refused.
        ILookup<string, string> kept = _entries.Values.ToLookup(entry => entry.Options.Socket.Path, entry => entry.Name);
        foreach (SnapshotSocket socket in _sockets.Values.Where(socket => !kept.Contains(socket.Options.Path) && !snapshots.Values.Any(options => options.Socket == socket.Options)).ToArray())
            Close(socket);
        foreach ((string name, SnapshotOptions options) in snapshots.Where(snapshot => !_entries.ContainsKey(snapshot.Key)))
            Open(new SnapshotEntry(name, options));
    }

    private void Open(SnapshotEntry entry)
    {
        SnapshotSocketOptions options = entry.Options.Socket;
        try
        {
            if (!_sockets.TryGetValue(options.Path, out SnapshotSocket? socket))
                _sockets.Add(options.Path, socket = new SnapshotSocket(this, options));
            socket.Entries.Add(entry);
            _entries.Add(entry.Name, entry);
            LogOpened(Services.Logger, entry.Name, entry.Options.Image, entry.Options.Tenant, options.Path);
        }
        catch (SyscallException e)
        {
            // The other snapshots, and all the sessions, do not depend on it.
            LogNotOpened(Services.Logger, entry.Name, options.Path, e.Message);
        }
    }

    private void Remove(SnapshotEntry entry)
    {
        _entries.Remove(entry.Name);
        _sockets[entry.Options.Socket.Path].Entries.Remove(entry);
        LogRemoved(Services.Logger, entry.Name, entry.Options.Socket.Path);
    }

    private void Close(SnapshotSocket socket)
    {
        _sockets.Remove(socket.Options.Path);
        socket.Close(removesFile: true);
    }

    private void Stop(TimeSpan patience)
    {
        if (_leaveBy != 0)
            return;
        _leaveBy = DueIn(patience);
        foreach (SnapshotSocket socket in _sockets.Values.ToArray())
            Close(socket);
        foreach (SnapshotPeer peer in Peers.ToArray())
            Guard(peer, peer.Leave);
    }

    // Lists are compared by what is in them.
    private static bool Same(SnapshotOptions a, SnapshotOptions b) =>
        a.Match.Uids.SequenceEqual(b.Match.Uids) && a.Match.Cgroups.SequenceEqual(b.Match.Cgroups) && (a with { Match = b.Match }) == b;
}
