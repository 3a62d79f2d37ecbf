using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A listening socket with the snapshots that are served through it. Belongs to the front door's thread.</summary>
internal sealed partial class SnapshotSocket
{
    // A restore of hundreds of clones at once connects faster than one thread accepts.
    private const int Backlog = 1024;

    private readonly SnapshotLoop _loop;
    private readonly (ulong Device, ulong Inode) _file;
    private SafeSocketFd? _made;
    private DoorListener? _listener;
    private long _document;

    private SnapshotSocket(SnapshotLoop loop, long number, SnapshotSocketOptions options, SafeSocketFd? listener, (ulong Device, ulong Inode) file)
    {
        _loop = loop;
        _pace = new AdmissionPace(loop.Services.Time);
        _logThrottle = new LogThrottle(loop.Services.Time);
        _file = file;
        _made = listener;
        Number = number;
        Options = options;
    }

    /// <summary>Under which it is stored.</summary>
    public long Number { get; }

    public SnapshotSocketOptions Options { get; }

    /// <summary>The tenant of its first snapshot: what waits for the directory of the socket waits in its turn. Empty if it is not known.</summary>
    public string Tenant { get; private set; } = "";

    public List<SnapshotEntry> Entries { get; } = [];

    /// <summary>Whether the next manager goes on with it.</summary>
    public bool IsKept { get; private set; } = true;

    /// <summary>Makes the socket, where nobody finds it yet. May wait for the file system. Any thread.</summary>
    /// <returns>A socket that listens, owned by the caller, and its file.</returns>
    /// <exception cref="SyscallException">It cannot be had.</exception>
    public static (SafeSocketFd Listener, FileStatus File) Make(SnapshotSocketOptions options) =>
        UnixSocket.ListenBeside(options.Path, UnixSocketType.Stream, Backlog, options.Mode, options.Gid, options.Uid);

    /// <summary>Puts a socket on its way to whoever keeps it for the next manager.</summary>
    /// <param name="loop">Will accept.</param>
    /// <param name="options">Where it is to listen.</param>
    /// <param name="made">From <see cref="Make"/>; taken over.</param>
    /// <param name="entries">What is served through it: the next manager must know as soon as anybody can connect.</param>
    public static SnapshotSocket Store(SnapshotLoop loop, SnapshotSocketOptions options, (SafeSocketFd Listener, FileStatus File) made, IEnumerable<SnapshotEntry> entries)
    {
        SnapshotSocket socket = new(loop, loop.Keeper.NextNumber(), options, made.Listener, (made.File.Device, made.File.Inode));
        socket.Entries.AddRange(entries);
        socket.Tenant = socket.Entries[0].Options.Tenant;
        socket._document = loop.Keeper.StoreSocket(socket.Number, made.Listener, socket.Describe());
        socket.IsKept = socket._document != 0;
        if (!socket.IsKept)
            loop.LogNotKept(options.Path);
        return socket;
    }

    /// <summary>Lets it be found. May wait for the file system. Any thread.</summary>
    /// <param name="options">Where.</param>
    /// <param name="made">Its file.</param>
    /// <exception cref="SyscallException">Something is in the way.</exception>
    public static void Place(SnapshotSocketOptions options, FileStatus made) => UnixSocket.MoveIntoPlace(options.Path, UnixSocketType.Stream, made);

    /// <summary>Looks whether a socket of the manager before can still be reached. May wait for the file system. Any thread.</summary>
    /// <returns>False if its place is empty, or something else's. What cannot be told (a file system that is not there yet) is not false.</returns>
    public static bool IsInPlace(SnapshotSocketDocument document)
    {
        Errno errno = FileIo.TryStat(document.Socket!.Path, out FileStatus file);
        return errno == Errno.OK ? (file.Device, file.Inode) == (document.Device, document.Inode) : errno is not (Errno.ENOENT or Errno.ENOTDIR);
    }

    /// <summary>Goes on with a socket of the manager before.</summary>
    /// <returns>Null when there is nothing to go on with; then nothing is taken.</returns>
    public static SnapshotSocket? TryAdopt(SnapshotLoop loop, InheritedSnapshots.Socket inherited)
    {
        if (inherited.Document is not { Socket: { } options } document || inherited.TakeListener() is not { } listener)
            return null;
        SnapshotSocket socket = new(loop, inherited.Number, options, listener, (document.Device, document.Inode)) { _document = inherited.DocumentVersion };
        socket.Entries.AddRange(document.Snapshots.Select(snapshot => new SnapshotEntry(snapshot.Key, snapshot.Value, isConfigured: false)));
        socket.Tenant = document.Tenant;
        return socket;
    }

    /// <summary>Stands for a socket that nobody can connect to any more, for those who are connected.</summary>
    public static SnapshotSocket Gone(SnapshotLoop loop, InheritedSnapshots.Socket inherited)
    {
        SnapshotSocketOptions options = inherited.Document?.Socket ?? new SnapshotSocketOptions { Path = "a socket that is gone", Mode = 0, Timeout = TimeSpan.FromSeconds(10) };
        return new SnapshotSocket(loop, inherited.Number, options, inherited.TakeListener(), default) { _document = inherited.DocumentVersion };
    }

    /// <summary>Begins to let in who has connected.</summary>
    /// <exception cref="SyscallException">It cannot be watched.</exception>
    public void Accept()
    {
        if (_made is not { } listener)
            return;
        _made = null;
        _listener = new DoorListener(_loop, listener, accepted => _loop.Admit(this, accepted), _loop.AcceptFailed, Pause);
    }

    /// <summary>The snapshot for a peer; null if none is meant for it.</summary>
    public SnapshotEntry? Find(PeerProcess peer) => Entries
        .Select(entry => (Entry: entry, Fit: entry.Fits(peer.Identity, peer.StartTime)))
        .Where(it => it.Fit > 0)
        .OrderByDescending(it => it.Fit)
        .FirstOrDefault().Entry;

    /// <summary>Puts on record which snapshots were made for it at run time.</summary>
    public void Record() => _document = _loop.Keeper.StoreDocument(Number, Describe(), _document);

    public void Resume() => _listener?.Resume();

    /// <summary>Stops listening; the next manager goes on.</summary>
    public void Leave()
    {
        _made?.Dispose();
        _listener?.Close();
    }

    /// <summary>
    /// Stops listening for good: nobody can connect any more, and who had connected is let in, to be refused. Its file is removed; one that somebody else has put into its place stays.
    /// </summary>
    /// <param name="closed">Called when nobody waits to be let in any more; perhaps before this returns.</param>
    /// <returns>Completes when the file has been removed, or cannot be.</returns>
    public async Task CloseAsync(Action closed)
    {
        Shut(closed);
        try
        {
            await _loop.Blocking.RunAsync(Tenant, () =>
            {
                UnixSocket.Remove(Options.Path, _file);
                return true;
            });
        }
        catch (SyscallException e)
        {
            // Whoever connects there finds nobody.
            _loop.LogNotRemoved(Options.Path, e.Message);
        }
    }

    /// <summary>Closes a socket whose file is none of its concern, and lets in who had connected.</summary>
    public void Shut(Action closed)
    {
        try
        {
            Accept();
        }
        catch (SyscallException e)
        {
            // It is closed, and with it the messages of those who wait in its queue.
            _loop.AcceptFailed(e.Message);
        }

        if (_listener is { } listener)
            listener.Finish(End);
        else
            End();

        void End()
        {
            _loop.Keeper.RemoveSocket(Number, _document);
            closed();
        }
    }

    /// <summary>Gives up the file of a socket of which nobody was told. May wait for the file system. Any thread.</summary>
    /// <param name="options">Where it was to be.</param>
    /// <param name="made">The file.</param>
    /// <returns>Why it stays; null if it does not.</returns>
    public static string? RemoveMade(SnapshotSocketOptions options, (ulong Device, ulong Inode) made)
    {
        try
        {
            UnixSocket.RemoveBeside(options.Path, made);
            UnixSocket.Remove(options.Path, made);
            return null;
        }
        catch (SyscallException e)
        {
            return e.Message;
        }
    }

    private SnapshotSocketDocument Describe() => new()
    {
        Socket = Options,
        Device = _file.Device,
        Inode = _file.Inode,
        Tenant = Tenant,
        Snapshots = Entries.Where(entry => !entry.IsConfigured).ToDictionary(entry => entry.Name, entry => entry.Options, StringComparer.OrdinalIgnoreCase),
    };
}
