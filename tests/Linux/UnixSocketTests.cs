using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Connecting, sending, receiving, and what a socket tells of its peer.</summary>
public sealed class UnixSocketTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    [Fact]
    public void So_many_bytes_are_thrown_away_and_no_more()
    {
        (SafeSocketFd near, SafeSocketFd far) = UnixSocket.Pair(UnixSocketType.Stream);
        using (near)
        using (far)
        {
            Assert.Equal(Errno.OK, UnixSocket.Send(far, new byte[5000], [near], dontWait: true));
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "abc"u8, [near], dontWait: true));
            UnixSocket.Discard(near, 5001);
            byte[] rest = new byte[8];
            using DescriptorSet descriptors = new();
            Assert.Equal(Errno.OK, UnixSocket.Receive(near, rest, descriptors, dontWait: true, out ReceivedMessage received));
            Assert.Equal("bc", System.Text.Encoding.UTF8.GetString(rest, 0, received.Length));
            Assert.Equal(Errno.EAGAIN, Assert.Throws<SyscallException>(() => UnixSocket.Discard(near, 1)).Errno);
        }
    }

    [Fact]
    public void What_is_thrown_away_takes_its_descriptors_along()
    {
        (SafeSocketFd near, SafeSocketFd far) = UnixSocket.Pair(UnixSocketType.Stream);
        (SafeSocketFd watched, SafeSocketFd sent) = UnixSocket.Pair(UnixSocketType.Stream);
        using (near)
        using (far)
        using (watched)
        {
            Assert.False(UnixSocket.HasArrived(near));
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "ab"u8, [sent], dontWait: true));
            Assert.Equal(Errno.OK, UnixSocket.Send(far, "cd"u8, [sent], dontWait: true));
            sent.Dispose();
            Assert.True(UnixSocket.HasArrived(near));
            Assert.True(UnixSocket.HasArrived(near));

            UnixSocket.Discard(near);

            Assert.False(UnixSocket.HasArrived(near));
            using FdLease lease = watched.Lease();
            Assert.True(FdPoll.WaitReadable(lease, TimeSpan.FromSeconds(10)), "the end of what was sent");
        }
    }

    [Theory]
    [InlineData(UnixSocketType.SeqPacket)]
    [InlineData(UnixSocketType.Stream)]
    public void Client_reaches_the_listener_and_both_hear_of_the_end(UnixSocketType type)
    {
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, type, 4, 0b110_000_000);
        Assert.Null(UnixSocket.TryAccept(listener, out Errno errno));
        Assert.Equal(Errno.EAGAIN, errno);
        using SafeSocketFd server = Sockets.Connected(listener, path, type, out SafeSocketFd client);
        using DescriptorSet none = new();
        byte[] buffer = new byte[8];
        Assert.Equal(Errno.EAGAIN, UnixSocket.Receive(server, buffer, none, dontWait: true, out _));
        Assert.Equal(Errno.OK, UnixSocket.Send(client, "abc"u8, [], dontWait: true));
        client.Dispose();
        Assert.Equal(Errno.OK, UnixSocket.Receive(server, buffer, none, dontWait: true, out ReceivedMessage message));
        Assert.Equal(new ReceivedMessage(3, false, false, false), message);
        Assert.Equal(Errno.OK, UnixSocket.Receive(server, buffer, none, dontWait: true, out message));
        Assert.True(message.EndOfStream);

        // No SIGPIPE: this process is still here.
        Assert.Equal(Errno.EPIPE, UnixSocket.Send(server, "abc"u8, [], dontWait: true));
    }

    [Fact]
    public void Full_peer_is_told_apart_and_a_stream_says_how_far_it_got()
    {
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.Stream);
        using (first)
        using (second)
        {
            byte[] block = new byte[4 << 20];
            Assert.Equal(Errno.OK, UnixSocket.SendSome(first, block, [], dontWait: true, out int sent));
            Assert.InRange(sent, 1, block.Length - 1);
            Assert.Equal(Errno.EAGAIN, UnixSocket.SendSome(first, block, [], dontWait: true, out sent));
            Assert.Equal(0, sent);
        }
    }

    [Fact]
    public void Message_larger_than_the_buffer_of_the_socket_is_refused_whole()
    {
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.SeqPacket);
        using (first)
        using (second)
            Assert.Equal(Errno.EMSGSIZE, UnixSocket.Send(first, new byte[16 << 20], [], dontWait: true));
    }

    [Fact]
    public void Waiting_receive_gives_up_at_its_timeout()
    {
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.SeqPacket);
        using (first)
        using (second)
        using (DescriptorSet none = new())
        {
            UnixSocket.SetTimeout(first, TimeSpan.FromMilliseconds(30));
            long begin = MonotonicClock.NowNanoseconds;
            Assert.Equal(Errno.EAGAIN, UnixSocket.Receive(first, new byte[8], none, dontWait: false, out _));
            Assert.True(MonotonicClock.NowNanoseconds - begin > 20_000_000);
        }
    }

    [Fact]
    public void Connect_says_why_it_cannot()
    {
        Assert.Equal(Errno.ENOENT, Sockets.ConnectError(_directory.Combine("nobody"), UnixSocketType.Stream));
        Assert.Equal(Errno.ECONNREFUSED, Sockets.ConnectError(_directory.WriteFile("file", []), UnixSocketType.Stream));
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000);
        Assert.Equal(Errno.EPROTOTYPE, Sockets.ConnectError(path, UnixSocketType.Stream));
    }

    [Fact]
    public void Peer_is_known_by_pid_user_and_pidfd()
    {
        using ClientProcess client = ClientProcess.Start();
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.SeqPacket);
        using (first)
        using (second)
        {
            PeerCredentials peer = UnixSocket.GetPeerCredentials(first);
            Assert.Equal(Environment.ProcessId, peer.Pid);
            using SafePidFd? pidFd = UnixSocket.TryGetPeerPidFd(first, out Errno errno);
            Assert.NotNull(pidFd);
            Assert.Equal(Errno.OK, errno);
            Assert.Equal(Environment.ProcessId, PidFd.ReadPid(pidFd));
            Assert.False(PidFd.HasExited(pidFd));
        }

        using SafeEventFd noSocket = EventFd.Create();
        using SafeSocketFd wrong = noSocket.Duplicate<SafeSocketFd>();
        Assert.Equal(Errno.ENOTSOCK, Assert.Throws<SyscallException>(() => UnixSocket.GetPeerCredentials(wrong)).Errno);
        Assert.Null(UnixSocket.TryGetPeerPidFd(wrong, out Errno reason));
        Assert.Equal(Errno.ENOTSOCK, reason);
    }

    // Its number may be somebody else's by now.
    [Fact]
    public void Peer_that_has_been_reaped_is_told_from_a_kernel_that_cannot_tell_peers()
    {
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 4, 0b110_000_000);
        using (ClientProcess client = ClientProcess.Start())
            client.Run($"connect {path} 1");
        using SafeSocketFd? accepted = UnixSocket.TryAccept(listener, out _);

        using SafePidFd? pidFd = UnixSocket.TryGetPeerPidFd(accepted!, out Errno errno);
        if (pidFd is null)
            Assert.True(errno is Errno.EINVAL or Errno.ESRCH, errno.ToString());
        else
            Assert.True(PidFd.HasExited(pidFd));
    }

    public void Dispose() => _directory.Dispose();
}
