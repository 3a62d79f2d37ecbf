using UffdManager.Daemon.Configuration;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A listening socket with the snapshots that are served through it. Belongs to the front door's thread.</summary>
internal sealed class SnapshotSocket
{
    // A restore of hundreds of clones at once connects faster than one thread accepts.
    private const int Backlog = 1024;

    private readonly SnapshotKeeper _keeper;
    private readonly FileStatus _file;
    private readonly DoorListener? _listener;
    private long _document;

    private SnapshotSocket(SnapshotLoop loop, long number, SnapshotSocketOptions options, SafeSocketFd? listener, FileStatus file)
    {
        _keeper = loop.Keeper;
        _file = file;
        Number = number;
        Options = options;
        if (listener is not null)
            _listener = new DoorListener(loop, listener, accepted => loop.Admit(this, accepted), loop.AcceptFailed);
    }

    /// <summary>Under which it is stored.</summary>
    public long Number { get; }

    public SnapshotSocketOptions Options { get; }

    public List<SnapshotEntry> Entries { get; } = [];

    /// <summary>Makes the socket's file. May wait for the file system. Any thread.</summary>
    /// <returns>A socket that listens, owned by the caller, and its file.</returns>
    /// <exception cref="SyscallException">It cannot be had.</exception>
    public static (SafeSocketFd Listener, FileStatus File) Listen(SnapshotSocketOptions options)
    {
        SafeSocketFd listener = UnixSocket.Listen(options.Path, UnixSocketType.Stream, Backlog, options.Mode, options.Gid, options.Uid);
        Errno errno = FileIo.TryStat(options.Path, out FileStatus file);
        if (errno == Errno.OK)
            return (listener, file);
        listener.Dispose();
        throw new SyscallException(errno, "stat", options.Path);
    }

    /// <summary>Begins to accept, and sees to it that the next manager can go on.</summary>
    /// <param name="loop">Accepts.</param>
    /// <param name="options">Where it listens.</param>
    /// <param name="made">From <see cref="Listen"/>; taken over.</param>
    /// <exception cref="SyscallException">It cannot be watched.</exception>
    public static SnapshotSocket Open(SnapshotLoop loop, SnapshotSocketOptions options, (SafeSocketFd Listener, FileStatus File) made)
    {
        using SafeSocketFd kept = made.Listener.Duplicate<SafeSocketFd>();
        SnapshotSocket socket = new(loop, loop.Keeper.NextNumber(), options, made.Listener, made.File);
        socket._document = loop.Keeper.StoreSocket(socket.Number, kept, socket.Describe());
        if (socket._document == 0)
            loop.LogNotKept(options.Path);
        return socket;
    }

    /// <summary>Goes on with a socket of the manager before.</summary>
    /// <returns>Null when it is not there to be reached any more; then nothing is taken.</returns>
    public static SnapshotSocket? TryAdopt(SnapshotLoop loop, InheritedSnapshots.Socket inherited)
    {
        if (inherited.Document is not { Socket: { } options } document
            || FileIo.TryStat(options.Path, out FileStatus file) != Errno.OK
            || (file.Device, file.Inode) != (document.Device, document.Inode)
            || inherited.TakeListener() is not { } listener)
        {
            return null;
        }

        SnapshotSocket socket = new(loop, inherited.Number, options, listener, file) { _document = inherited.DocumentVersion };
        socket.Entries.AddRange(document.Snapshots.Select(snapshot => new SnapshotEntry(snapshot.Key, snapshot.Value, isConfigured: false)));
        return socket;
    }

    /// <summary>Stands for a socket that nobody can connect to any more, for those who are connected.</summary>
    public static SnapshotSocket Closed(SnapshotLoop loop, InheritedSnapshots.Socket inherited) =>
        new(loop, inherited.Number, inherited.Document?.Socket ?? new SnapshotSocketOptions { Path = "a socket that is gone", Mode = 0, Timeout = TimeSpan.FromSeconds(10) }, null, default);

    /// <summary>The snapshot for a peer; null if none is meant for it.</summary>
    public SnapshotEntry? Find(PeerProcess peer) => Entries
        .Select(entry => (Entry: entry, Fit: entry.Fits(peer.Identity, peer.StartTime)))
        .Where(it => it.Fit > 0)
        .OrderByDescending(it => it.Fit)
        .FirstOrDefault().Entry;

    /// <summary>Puts on record which snapshots were made for it at run time.</summary>
    public void Record() => _document = _keeper.StoreDocument(Number, Describe(), _document);

    public void Resume() => _listener?.Resume();

    /// <summary>Stops listening; the next manager goes on.</summary>
    public void Leave() => _listener?.Close();

    /// <summary>Stops listening for good. A file that somebody else has put into the place of the socket stays.</summary>
    public void Close()
    {
        if (FileIo.TryStat(Options.Path, out FileStatus now) == Errno.OK && (now.Device, now.Inode) == (_file.Device, _file.Inode))
            File.Delete(Options.Path);
        _listener?.Close();
        _keeper.RemoveSocket(Number, _document);
    }

    private SnapshotSocketDocument Describe() => new()
    {
        Socket = Options,
        Device = _file.Device,
        Inode = _file.Inode,
        Snapshots = Entries.Where(entry => !entry.IsConfigured).ToDictionary(entry => entry.Name, entry => entry.Options, StringComparer.OrdinalIgnoreCase),
    };
}
