using System.Text;

namespace UffdManager.Linux;

/// <summary>
/// struct sockaddr_un for a path of any length. A path longer than its 107 bytes is reached through /proc/self/fd of its directory, which
/// therefore stays open as long as the address is in use.
/// </summary>
internal sealed class UnixAddress : IDisposable
{
    private const int PathBytes = 108; // sizeof(sun_path); the last byte is the terminator

    private readonly SafeFile? _directory;
    private FdLease _lease;

    private UnixAddress(string path, SafeFile? directory, FdLease lease)
    {
        _directory = directory;
        _lease = lease;
        Path = path;
        byte[] text = Encoding.UTF8.GetBytes(path);
        Bytes = new byte[sizeof(ushort) + text.Length + 1];
        BitConverter.TryWriteBytes(Bytes, (ushort)1 /* AF_UNIX */);
        text.CopyTo(Bytes, sizeof(ushort));
    }

    private UnixAddress(byte[] name)
    {
        Path = "";
        Bytes = new byte[sizeof(ushort) + 1 + name.Length];
        BitConverter.TryWriteBytes(Bytes, (ushort)1 /* AF_UNIX */);
        name.CopyTo(Bytes, sizeof(ushort) + 1);
    }

    /// <summary>A path that names the socket and fits; empty for an abstract name.</summary>
    public string Path { get; }

    /// <summary>The structure, as long as it needs to be.</summary>
    public byte[] Bytes { get; }

    /// <summary>A name of the abstract namespace, which no file stands for: a leading zero byte, and every byte that follows counts.</summary>
    public static UnixAddress Abstract(string name)
    {
        byte[] text = Encoding.UTF8.GetBytes(name);
        return text.Length < PathBytes ? new UnixAddress(text) : throw new SyscallException(Errno.ENAMETOOLONG, "bind", "@" + name);
    }

    /// <summary>A name in a directory that stays open as long as the address is in use: whatever is put into the places of the directories above it meanwhile, it is this directory.</summary>
    /// <exception cref="SyscallException">ENAMETOOLONG, EMFILE.</exception>
    public static UnixAddress In(SafeFile directory, string name)
    {
        // A duplicate, which the address closes.
        SafeFile own = directory.Duplicate<SafeFile>();
        FdLease lease = own.Lease();
        string through = $"/proc/self/fd/{lease.Fd}/{name}";
        if (Encoding.UTF8.GetByteCount(through) < PathBytes)
            return new UnixAddress(through, own, lease);
        lease.Dispose();
        own.Dispose();
        throw new SyscallException(Errno.ENAMETOOLONG, "bind", name);
    }

    public static UnixAddress Of(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (path.Contains('\0', StringComparison.Ordinal))
            throw new SyscallException(Errno.EINVAL, "bind", path.Replace('\0', '?'));
        if (Encoding.UTF8.GetByteCount(path) < PathBytes)
            return new UnixAddress(path, null, default);
        string parent = System.IO.Path.GetDirectoryName(path) is { Length: > 0 } name ? name : ".";
        SafeFile directory = FileIo.OpenDirectory(parent);
        FdLease lease = directory.Lease();
        string through = $"/proc/self/fd/{lease.Fd}/{System.IO.Path.GetFileName(path)}";
        if (Encoding.UTF8.GetByteCount(through) < PathBytes)
            return new UnixAddress(through, directory, lease);
        lease.Dispose();
        directory.Dispose();
        throw new SyscallException(Errno.ENAMETOOLONG, "bind", path);
    }

    public void Dispose()
    {
        _lease.Dispose();
        _lease = default;
        _directory?.Dispose();
    }
}
