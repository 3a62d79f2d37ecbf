using System.Globalization;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>Sockets and connections that an earlier manager stored, put together by their names. Owns what nobody takes.</summary>
internal sealed class InheritedSnapshots : IDisposable
{
    private const int LongestDocument = 4 * 1024 * 1024;

    private readonly Dictionary<long, Socket> _sockets = [];

    private InheritedSnapshots()
    {
    }

    /// <summary>What cannot be used, one sentence each.</summary>
    public List<string> Problems { get; } = [];

    /// <summary>Names under which the store has what cannot be used.</summary>
    public List<string> Orphans { get; } = [];

    /// <summary>The highest number that a name has.</summary>
    public long LastNumber { get; private set; }

    /// <summary>All sockets, by number.</summary>
    public IEnumerable<Socket> Sockets => _sockets.Values.OrderBy(socket => socket.Number);

    /// <summary>Takes descriptors over.</summary>
    public static InheritedSnapshots From(IReadOnlyList<StoredDescriptor> stored)
    {
        InheritedSnapshots inherited = new();
        foreach (StoredDescriptor descriptor in stored)
        {
            if (!inherited.TryAdd(descriptor))
            {
                inherited.Problems.Add($"descriptor \"{descriptor.Name}\" belongs to no socket for snapshots");
                inherited.Orphans.Add(descriptor.Name);
                descriptor.Descriptor.Dispose();
            }
        }

        foreach (Socket socket in inherited._sockets.Values)
        {
            inherited.Orphans.AddRange(socket.Taken.Except(socket.Peers.Select(peer => peer.Number))
                .Select(number => $"{SnapshotKeeper.Prefix}{socket.Number}{SnapshotKeeper.Taken}{number}"));
        }

        foreach (Socket socket in inherited._sockets.Values.Where(socket => socket.Listener is null || socket.Document is null))
            inherited.Problems.Add($"socket {socket.Number} for snapshots has no {(socket.Listener is null ? "listening descriptor" : "document that can be read")}");
        return inherited;
    }

    public void Dispose()
    {
        foreach (Socket socket in _sockets.Values)
        {
            socket.Listener?.Dispose();
            socket.Peers.ForEach(peer => peer.Connection.Dispose());
        }
    }

    private bool TryAdd(StoredDescriptor stored)
    {
        // snapshot-5, snapshot-5-document-7, snapshot-5-peer-8, snapshot-5-taken-8
        string[] parts = stored.Name[SnapshotKeeper.Prefix.Length..].Split('-');
        if (!TryParse(parts[0], out long number) || parts.Length is not (1 or 3))
            return false;
        if (!_sockets.TryGetValue(number, out Socket? socket))
            _sockets.Add(number, socket = new Socket(number));
        if (parts.Length == 1)
            return TryAddListener(socket, stored.Descriptor);
        if (!TryParse(parts[2], out long own))
            return false;
        switch ($"-{parts[1]}-")
        {
            case SnapshotKeeper.Document:
                TakeDocument(socket, own, stored);
                return true;
            case SnapshotKeeper.Peer:
                socket.Peers.Add((own, SafeSocketFd.Adopt(stored.Descriptor.Disown())));
                return true;
            case SnapshotKeeper.Taken:
                socket.Taken.Add(own);
                stored.Descriptor.Dispose();
                return true;
            default:
                return false;
        }
    }

    private static bool TryAddListener(Socket socket, SafeFd descriptor)
    {
        if (socket.Listener is not null || !UnixSocket.IsListening(descriptor, UnixSocketType.Stream))
            return false;
        socket.Listener = SafeSocketFd.Adopt(descriptor.Disown());
        return true;
    }

    // A manager that was killed between two documents leaves both: the later one counts.
    private void TakeDocument(Socket socket, long version, StoredDescriptor stored)
    {
        using SafeFd descriptor = stored.Descriptor;
        if (SnapshotSocketDocument.TryDecode(Read(descriptor)) is not { } document)
        {
            Problems.Add($"document \"{stored.Name}\" cannot be read");
            Orphans.Add(stored.Name);
            return;
        }

        if (socket.Document is not null)
            Orphans.Add($"{SnapshotKeeper.Prefix}{socket.Number}{SnapshotKeeper.Document}{Math.Min(version, socket.DocumentVersion)}");
        if (version > socket.DocumentVersion)
            (socket.Document, socket.DocumentVersion) = (document, version);
    }

    private static byte[] Read(SafeFd descriptor)
    {
        try
        {
            long size = FileIo.Stat(descriptor).Size;
            byte[] bytes = new byte[Math.Clamp(size, 0, LongestDocument)];
            return FileIo.Read(descriptor, bytes, 0, out int read) == Errno.OK ? bytes[..read] : [];
        }
        catch (SyscallException)
        {
            return [];
        }
    }

    private bool TryParse(string text, out long number)
    {
        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number))
            return false;
        LastNumber = Math.Max(LastNumber, number);
        return true;
    }

    /// <summary>A socket, or what is left of one.</summary>
    internal sealed class Socket(long number)
    {
        public long Number { get; } = number;

        public SafeSocketFd? Listener { get; set; }

        public SnapshotSocketDocument? Document { get; set; }

        public long DocumentVersion { get; set; }

        public List<(long Number, SafeSocketFd Connection)> Peers { get; } = [];

        /// <summary>Numbers of those connections of whose messages a part was taken out.</summary>
        public HashSet<long> Taken { get; } = [];

        /// <summary>The listening descriptor, which the caller owns from now on.</summary>
        public SafeSocketFd? TakeListener()
        {
            SafeSocketFd? taken = Listener;
            Listener = null;
            return taken;
        }
    }
}
