using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Tenancy;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>A listening socket with the snapshots that are served through it. Belongs to the front door's thread.</summary>
internal sealed class SnapshotSocket
{
    // A restore of hundreds of clones at once connects faster than one thread accepts.
    private const int Backlog = 1024;

    private readonly DoorListener _listener;
    private readonly FileStatus _file;

    /// <summary>Listens.</summary>
    /// <exception cref="SyscallException">The socket cannot be had.</exception>
    public SnapshotSocket(SnapshotLoop loop, SnapshotSocketOptions options)
    {
        Options = options;
        SafeSocketFd socket = UnixSocket.Listen(options.Path, UnixSocketType.Stream, Backlog, options.Mode, options.Gid, options.Uid);
        Errno errno = FileIo.TryStat(options.Path, out _file);
        if (errno != Errno.OK)
        {
            socket.Dispose();
            throw new SyscallException(errno, "stat", options.Path);
        }

        _listener = new DoorListener(loop, socket, accepted => loop.Admit(this, accepted), loop.AcceptFailed);
    }

    public SnapshotSocketOptions Options { get; }

    public List<SnapshotEntry> Entries { get; } = [];

    /// <summary>The snapshot for a peer; null if none is meant for it.</summary>
    public SnapshotEntry? Find(PeerIdentity peer) =>
        Entries.Select(entry => (Entry: entry, Fit: entry.Fits(peer))).Where(it => it.Fit > 0).OrderByDescending(it => it.Fit).FirstOrDefault().Entry;

    public void Resume() => _listener.Resume();

    /// <summary>Stops listening.</summary>
    /// <param name="removesFile">Whether nobody goes on with it. A file that somebody else has put into its place stays.</param>
    public void Close(bool removesFile)
    {
        if (removesFile && FileIo.TryStat(Options.Path, out FileStatus now) == Errno.OK && (now.Device, now.Inode) == (_file.Device, _file.Inode))
            File.Delete(Options.Path);
        _listener.Close();
    }
}
