using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Datagrams to a path or an abstract name, listening sockets of unknown origin, and descriptors known by number.</summary>
public sealed class DatagramTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Datagrams_arrive_in_order_with_their_descriptors(bool isAbstract)
    {
        string address = isAbstract ? $"@uffd-test-{Guid.NewGuid():N}" : _directory.Combine("notify");
        using SafeSocketFd receiver = UnixSocket.BindDatagram(address);
        using SafeSocketFd sender = UnixSocket.ConnectDatagram(address);
        using SafeEventFd first = EventFd.Create();
        using SafeEventFd second = EventFd.Create();
        Assert.Equal(Errno.OK, UnixSocket.Send(sender, "one"u8, [first, second], dontWait: true));
        Assert.Equal(Errno.OK, UnixSocket.Send(sender, "two"u8, [], dontWait: true));

        byte[] buffer = new byte[16];
        using DescriptorSet descriptors = new();
        Assert.Equal(Errno.OK, UnixSocket.Receive(receiver, buffer, descriptors, dontWait: true, out ReceivedMessage message));
        Assert.Equal(3, message.Length);
        Assert.Equal(2, descriptors.Count);
        Assert.Equal(Errno.OK, UnixSocket.Receive(receiver, buffer, descriptors, dontWait: true, out message));
        Assert.Equal("two"u8, buffer.AsSpan(0, message.Length));
        Assert.Equal(address, UnixSocket.TryGetLocalAddress(receiver));
    }

    [Fact]
    public void Full_receiver_is_told_and_a_waiting_send_gives_up_at_its_timeout()
    {
        string address = _directory.Combine("notify");
        using SafeSocketFd receiver = UnixSocket.BindDatagram(address);
        using SafeSocketFd sender = UnixSocket.ConnectDatagram(address);
        UnixSocket.SetTimeout(sender, TimeSpan.FromMilliseconds(20));
        Errno errno = Errno.OK;
        for (int i = 0; i < 100_000 && errno == Errno.OK; i++)
            errno = UnixSocket.Send(sender, "x"u8, [], dontWait: true);
        Assert.Equal(Errno.EAGAIN, errno);
        Assert.Equal(Errno.EAGAIN, UnixSocket.Send(sender, "x"u8, [], dontWait: false));
    }

    [Fact]
    public void Receiver_that_is_gone_refuses()
    {
        string address = _directory.Combine("notify");
        SafeSocketFd receiver = UnixSocket.BindDatagram(address);
        using SafeSocketFd sender = UnixSocket.ConnectDatagram(address);
        receiver.Dispose();
        Assert.Equal(Errno.ECONNREFUSED, UnixSocket.Send(sender, "x"u8, [], dontWait: true));
        Assert.Equal(Errno.ECONNREFUSED, Assert.Throws<SyscallException>(() => UnixSocket.ConnectDatagram(address)).Errno);
        Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SyscallException>(() => UnixSocket.BindDatagram(address)).Errno);
        Assert.Equal(Errno.ENAMETOOLONG, Assert.Throws<SyscallException>(() => UnixSocket.ConnectDatagram("@" + new string('x', 200))).Errno);
    }

    [Fact]
    public void Listening_socket_is_told_from_everything_else()
    {
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000);
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.SeqPacket);
        using SafeSocketFd one = first;
        using SafeSocketFd other = second;
        using SafeEventFd notASocket = EventFd.Create();
        Assert.True(UnixSocket.IsListening(listener, UnixSocketType.SeqPacket));
        Assert.False(UnixSocket.IsListening(listener, UnixSocketType.Stream));
        Assert.False(UnixSocket.IsListening(one, UnixSocketType.SeqPacket));
        Assert.False(UnixSocket.IsListening(notASocket, UnixSocketType.SeqPacket));
        Assert.Equal(path, UnixSocket.TryGetLocalAddress(listener));
        Assert.Equal("", UnixSocket.TryGetLocalAddress(one));
        Assert.Null(UnixSocket.TryGetLocalAddress(notASocket));
    }

    [Fact]
    public void Inherited_descriptor_is_owned_and_closed_on_exec()
    {
        using SafeEventFd source = EventFd.Create();
        int number = source.Duplicate<SafeFile>().Disown();
        const int SetDescriptorFlags = 2; // F_SETFD
        Assert.Equal(0, Libc.Fcntl(number, SetDescriptorFlags, 0));
        SafeFile? adopted = InheritedFd.TryAdopt(number);
        Assert.NotNull(adopted);
        string flags = File.ReadLines($"/proc/self/fdinfo/{number}").First(line => line.StartsWith("flags:", StringComparison.Ordinal));
        Assert.NotEqual(0, Convert.ToInt32(flags[6..].Trim(), 8) & Libc.O_CLOEXEC);
        adopted.Dispose();
        using (SafeFile own = source.Duplicate<SafeFile>())
        using (FdLease lease = own.Lease())
            Assert.Null(InheritedFd.TryAdopt(lease.Fd));
        Assert.Null(InheritedFd.TryAdopt(-1));
        Assert.Null(InheritedFd.TryAdopt(int.MaxValue));
    }

    public void Dispose() => _directory.Dispose();
}
