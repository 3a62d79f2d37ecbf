using System.Runtime.InteropServices;
using System.Text;

namespace UffdManager.Linux;

/// <content>Datagram sockets, and what a descriptor of unknown origin is.</content>
public static unsafe partial class UnixSocket
{
    [CName("SO_TYPE")] private const int SocketType = 3;
    [CName("SO_ACCEPTCONN")] private const int AcceptConnections = 30;

    // sizeof(struct sockaddr_un)
    private const int AddressBytes = 110;

    /// <summary>
    /// A datagram socket that sends to <paramref name="address"/>: a path, or '@' and a name of the abstract namespace. A send that would wait, because the
    /// receiver has not read what lies before it, gives EAGAIN with dontWait.
    /// </summary>
    /// <exception cref="SyscallException">ENOENT, ECONNREFUSED nobody receives, EACCES, EPROTOTYPE other type, ENAMETOOLONG.</exception>
    public static SafeSocketFd ConnectDatagram(string address)
    {
        ArgumentException.ThrowIfNullOrEmpty(address);
        using UnixAddress name = Datagram(address);
        SafeSocketFd socket = Create(UnixSocketType.Datagram, 0);
        Errno errno = Connect(socket, name);
        if (errno == Errno.OK)
            return socket;
        socket.Dispose();
        throw new SyscallException(errno, "connect", address);
    }

    /// <summary>A datagram socket that receives at <paramref name="address"/>, written as for <see cref="ConnectDatagram"/>.</summary>
    /// <exception cref="SyscallException">EADDRINUSE, EACCES, ENOENT no such directory, ENAMETOOLONG.</exception>
    public static SafeSocketFd BindDatagram(string address)
    {
        ArgumentException.ThrowIfNullOrEmpty(address);
        using UnixAddress name = Datagram(address);
        SafeSocketFd socket = Create(UnixSocketType.Datagram, 0);
        Errno errno = Bind(socket, name);
        if (errno == Errno.OK)
            return socket;
        socket.Dispose();
        throw new SyscallException(errno, "bind", address);
    }

    /// <summary>Whether a descriptor is a Unix socket of a type that connections can be accepted from.</summary>
    /// <param name="fd">Any descriptor.</param>
    /// <param name="type">The type asked for.</param>
    public static bool IsListening(SafeFd fd, UnixSocketType type)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return Option(lease.Fd, SocketType) == (int)type && Option(lease.Fd, AcceptConnections) == 1 && LocalAddress(lease.Fd) is not null;
    }

    /// <summary>
    /// Where a Unix socket is bound: a path, '@' and a name, or empty when it is not. Null when the descriptor is not a Unix socket.
    /// </summary>
    public static string? TryGetLocalAddress(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return LocalAddress(lease.Fd);
    }

    private static UnixAddress Datagram(string address) => address[0] == '@' ? UnixAddress.Abstract(address[1..]) : UnixAddress.Of(address);

    private static int Option(int fd, int option)
    {
        int value = -1;
        uint size = sizeof(int);
        return GetSockOpt(fd, SolSocket, option, &value, &size) < 0 ? -1 : value;
    }

    private static string? LocalAddress(int fd)
    {
        byte* address = stackalloc byte[AddressBytes];
        uint length = AddressBytes;
        if (GetSockName(fd, address, &length) < 0 || length < sizeof(ushort) || *(ushort*)address != AfUnix)
            return null;
        Span<byte> name = new(address + sizeof(ushort), (int)Math.Min(length, AddressBytes) - sizeof(ushort));
        if (name.IsEmpty)
            return "";
        return name[0] == 0 ? "@" + Encoding.UTF8.GetString(name[1..]) : Encoding.UTF8.GetString(name).TrimEnd('\0');
    }

    [LibraryImport(Libc.Name, EntryPoint = "getsockname", SetLastError = true)]
    private static partial int GetSockName(int fd, void* address, uint* length);
}
