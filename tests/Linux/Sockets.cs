using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Connections that tests of Unix sockets begin with.</summary>
internal static class Sockets
{
    /// <summary>Connects, and accepts that.</summary>
    public static SafeSocketFd Connected(SafeSocketFd listener, string path, UnixSocketType type, out SafeSocketFd client)
    {
        client = UnixSocket.Connect(path, type);
        SafeSocketFd? server = UnixSocket.TryAccept(listener, out Errno errno);
        Assert.Equal(Errno.OK, errno);
        return server!;
    }

    /// <summary>Why nobody can connect.</summary>
    public static Errno ConnectError(string path, UnixSocketType type) =>
        Assert.Throws<SyscallException>(() => UnixSocket.Connect(path, type)).Errno;
}
