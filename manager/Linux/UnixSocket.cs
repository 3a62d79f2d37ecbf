using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>unix(7) sockets: listening, connecting, and who is at the other end.</summary>
public static unsafe partial class UnixSocket
{
    [CName("AF_UNIX")] private const int AfUnix = 1;
    [CName("SOCK_CLOEXEC")] private const int CloseOnExec = 0x80000;
    [CName("SOCK_NONBLOCK")] private const int NonBlock = 0x800;
    [CName("SOL_SOCKET")] private const int SolSocket = 1;
    [CName("SO_PEERCRED")] private const int PeerCred = 17;
    [CName("SO_RCVTIMEO")] private const int ReceiveTimeout = 20;
    [CName("SO_SNDTIMEO")] private const int SendTimeout = 21;
    [CName("AT_EMPTY_PATH")] private const int EmptyPath = 0x1000;
    [CName("SO_PEERPIDFD")] private const int PeerPidFd = 77;

    /// <summary>
    /// Listens at <paramref name="path"/>, not blocking, close-on-exec. The socket gets <paramref name="mode"/>, and <paramref name="group"/> and <paramref name="owner"/>
    /// unless null, before the first client can connect. A socket left behind by a dead listener is removed; anything else at the path, and a living listener, is not.
    /// </summary>
    /// <exception cref="SyscallException">EADDRINUSE somebody listens, EEXIST something else is there, EACCES, ENOENT no such directory,
    /// EPERM not allowed to give it to the owner or group, ENAMETOOLONG last component longer than about 80 bytes.</exception>
    public static SafeSocketFd Listen(string path, UnixSocketType type, int backlog, uint mode, uint? group = null, uint? owner = null)
    {
        using UnixAddress address = UnixAddress.Of(path);
        return Listen(path, address, type, backlog, mode, group, owner, out _);
    }

    // The path is for messages alone.
    private static SafeSocketFd Listen(string path, UnixAddress address, UnixSocketType type, int backlog, uint mode, uint? group, uint? owner, out FileStatus made)
    {
        SafeSocketFd socket = Create(type, NonBlock);
        bool isBound = false;
        try
        {
            Errno errno = Bind(socket, address);
            if (errno == Errno.EADDRINUSE)
            {
                RemoveStale(path, address, type);
                errno = Bind(socket, address);
            }

            if (errno != Errno.OK)
                throw new SyscallException(errno, "bind", path);
            isBound = true;
            made = SetAccess(path, address, mode, group, owner);
            using FdLease lease = socket.Lease();
            if (Listen(lease.Fd, backlog) < 0)
                throw LastError.Exception("listen", path);
            return socket;
        }
        catch
        {
            if (isBound && FileIo.TryStat(address.Path, out FileStatus status) == Errno.OK && status.IsSocket)
                _ = Unlink(address.Path);
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Connects, waiting while the listener's backlog is full. The socket blocks unless a call asks otherwise.</summary>
    /// <exception cref="SyscallException">ENOENT, ECONNREFUSED nobody listens, EACCES, EPROTOTYPE other type.</exception>
    public static SafeSocketFd Connect(string path, UnixSocketType type)
    {
        using UnixAddress address = UnixAddress.Of(path);
        SafeSocketFd socket = Create(type, 0);
        Errno errno = Connect(socket, address);
        if (errno == Errno.OK)
            return socket;
        socket.Dispose();
        throw new SyscallException(errno, "connect", path);
    }

    /// <summary>
    /// Takes one waiting connection; close-on-exec. The socket blocks unless a call asks otherwise (dontWait).
    /// </summary>
    /// <returns>Null with EAGAIN (none waits), EMFILE, ENFILE, ECONNABORTED, …</returns>
    public static SafeSocketFd? TryAccept(SafeSocketFd listener, out Errno errno)
    {
        ArgumentNullException.ThrowIfNull(listener);
        using FdLease lease = listener.Lease();
        int fd;
        do
            fd = Accept4(lease.Fd, null, null, CloseOnExec);
        while (LastError.IsInterrupted(fd));
        errno = fd < 0 ? LastError.Get() : Errno.OK;
        return fd < 0 ? null : new SafeSocketFd(fd);
    }

    /// <summary>Two sockets connected to each other, close-on-exec.</summary>
    /// <exception cref="SyscallException">EMFILE.</exception>
    public static (SafeSocketFd First, SafeSocketFd Second) Pair(UnixSocketType type)
    {
        int* pair = stackalloc int[2];
        return SocketPair(AfUnix, (int)type | CloseOnExec, 0, pair) < 0
            ? throw LastError.Exception("socketpair", type.ToString())
            : (new SafeSocketFd(pair[0]), new SafeSocketFd(pair[1]));
    }

    /// <summary>Who connected.</summary>
    /// <exception cref="SyscallException">ENOTSOCK, ENOPROTOOPT.</exception>
    public static PeerCredentials GetPeerCredentials(SafeSocketFd socket)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using FdLease lease = socket.Lease();
        PeerCredential credential;
        uint size = (uint)sizeof(PeerCredential);
        return GetSockOpt(lease.Fd, SolSocket, PeerCred, &credential, &size) < 0
            ? throw LastError.Exception("getsockopt(SO_PEERCRED)", $"fd {lease.Fd}")
            : new PeerCredentials(credential.Pid, credential.Uid, credential.Gid);
    }

    /// <summary>
    /// A pidfd of the process that connected, free of races with the reuse of its number (6.5); the caller owns it. Of one that has been reaped there is a pidfd since 6.16.
    /// </summary>
    /// <param name="socket">The connection.</param>
    /// <param name="errno">Why not: ENOPROTOOPT the kernel cannot, EMFILE, ENFILE, ENOMEM; anything else (EINVAL, ESRCH, ENODATA) the process has been reaped, or is nobody's.</param>
    public static SafePidFd? TryGetPeerPidFd(SafeSocketFd socket, out Errno errno)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using FdLease lease = socket.Lease();
        int fd = -1;
        uint size = sizeof(int);
        errno = GetSockOpt(lease.Fd, SolSocket, PeerPidFd, &fd, &size) < 0 ? LastError.Get() : Errno.OK;
        return errno == Errno.OK ? new SafePidFd(fd) : null;
    }

    /// <summary>Limits every blocking send and receive, which then give EAGAIN; zero waits for ever.</summary>
    /// <exception cref="SyscallException">EDOM: out of range.</exception>
    public static void SetTimeout(SafeSocketFd socket, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(socket);
        using FdLease lease = socket.Lease();

        // struct timeval; a positive time below its resolution must not become "for ever".
        long microseconds = timeout > TimeSpan.Zero ? Math.Max(1, timeout.Ticks / 10) : 0;
        TimeSpec value = new() { Seconds = microseconds / 1_000_000, Nanoseconds = microseconds % 1_000_000 };
        if (SetSockOpt(lease.Fd, SolSocket, ReceiveTimeout, &value, (uint)sizeof(TimeSpec)) < 0
            || SetSockOpt(lease.Fd, SolSocket, SendTimeout, &value, (uint)sizeof(TimeSpec)) < 0)
            throw LastError.Exception("setsockopt(SO_RCVTIMEO)", timeout.ToString());
    }

    private static SafeSocketFd Create(UnixSocketType type, int flags)
    {
        int fd = Socket(AfUnix, (int)type | CloseOnExec | flags, 0);
        return fd < 0 ? throw LastError.Exception("socket", type.ToString()) : new SafeSocketFd(fd);
    }

    private static Errno Bind(SafeSocketFd socket, UnixAddress address)
    {
        using FdLease lease = socket.Lease();
        fixed (byte* bytes = address.Bytes)
            return Bind(lease.Fd, bytes, (uint)address.Bytes.Length) < 0 ? LastError.Get() : Errno.OK;
    }

    private static Errno Connect(SafeSocketFd socket, UnixAddress address)
    {
        using FdLease lease = socket.Lease();
        int result;
        fixed (byte* bytes = address.Bytes)
        {
            do
                result = Connect(lease.Fd, bytes, (uint)address.Bytes.Length);
            while (LastError.IsInterrupted(result));
        }

        return result < 0 ? LastError.Get() : Errno.OK;
    }

    // Whoever may write in the directory could put a link to another file into the place of the socket meanwhile: what is changed is the file that was looked at.
    private static FileStatus SetAccess(string path, UnixAddress address, uint mode, uint? group, uint? owner)
    {
        using SafeFile file = FileIo.Open(address.Path, OpenFlags.Path | OpenFlags.NoFollow);
        FileStatus made = FileIo.Stat(file);
        if (!made.IsSocket)
            throw new SyscallException(Errno.EEXIST, "bind", path);
        using FdLease lease = file.Lease();

        // In this order: who has given a file away may not change its mode any more (CAP_FOWNER). Nobody listens yet, so nobody can use the mode too early.
        FileIo.ChangeMode($"/proc/self/fd/{lease.Fd}", mode);
        if ((group is not null || owner is not null) && ChownAt(lease.Fd, "", owner ?? uint.MaxValue, group ?? uint.MaxValue, EmptyPath) < 0)
            throw LastError.Exception("fchownat", path);
        return made;
    }

    private static void RemoveStale(string path, UnixAddress address, UnixSocketType type)
    {
        if (FileIo.TryStat(address.Path, out FileStatus status) == Errno.OK && !status.IsSocket)
            throw new SyscallException(Errno.EEXIST, "bind", path);
        using SafeSocketFd probe = Create(type, NonBlock);

        // Refused: nobody listens. EAGAIN (backlog full) and EPROTOTYPE (other type) mean that somebody does.
        Errno errno = Connect(probe, address);
        if (errno is not (Errno.ECONNREFUSED or Errno.ENOENT))
            throw new SyscallException(Errno.EADDRINUSE, "bind", path);
        if (errno == Errno.ECONNREFUSED && Unlink(address.Path) < 0 && LastError.Get() is var failure and not Errno.ENOENT)
            throw new SyscallException(failure, "unlink", path);
    }

    [LibraryImport(Libc.Name, EntryPoint = "socket", SetLastError = true)]
    private static partial int Socket(int domain, int type, int protocol);

    [LibraryImport(Libc.Name, EntryPoint = "socketpair", SetLastError = true)]
    private static partial int SocketPair(int domain, int type, int protocol, int* pair);

    [LibraryImport(Libc.Name, EntryPoint = "bind", SetLastError = true)]
    private static partial int Bind(int fd, byte* address, uint length);

    [LibraryImport(Libc.Name, EntryPoint = "listen", SetLastError = true)]
    private static partial int Listen(int fd, int backlog);

    [LibraryImport(Libc.Name, EntryPoint = "connect", SetLastError = true)]
    private static partial int Connect(int fd, byte* address, uint length);

    [LibraryImport(Libc.Name, EntryPoint = "accept4", SetLastError = true)]
    private static partial int Accept4(int fd, void* address, void* length, int flags);

    [LibraryImport(Libc.Name, EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int GetSockOpt(int fd, int level, int name, void* value, uint* length);

    [LibraryImport(Libc.Name, EntryPoint = "setsockopt", SetLastError = true)]
    private static partial int SetSockOpt(int fd, int level, int name, void* value, uint length);

    // uint.MaxValue is (uid_t)-1 and (gid_t)-1: leave it as it is.
    [LibraryImport(Libc.Name, EntryPoint = "fchownat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChownAt(int directory, string path, uint owner, uint group, int flags);

    [LibraryImport(Libc.Name, EntryPoint = "unlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Unlink(string path);
}

/// <summary>struct ucred.</summary>
[CName("struct ucred")]
internal struct PeerCredential
{
    [CName("pid")] public int Pid;
    [CName("uid")] public uint Uid;
    [CName("gid")] public uint Gid;
}
