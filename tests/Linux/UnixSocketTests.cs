using System.Diagnostics;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Listening, connecting, and what a socket tells of its peer.</summary>
public sealed class UnixSocketTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    [Fact]
    public void Socket_that_is_made_beside_its_place_is_found_when_it_is_moved_there()
    {
        string path = _directory.Combine("s");
        File.WriteAllText(UnixSocket.NameBeside(path) + ".txt", "");
        using (UnixSocket.Listen(path, UnixSocketType.Stream, 1, 0b110_000_000))
        {
            Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SyscallException>(() => UnixSocket.ListenBeside(path, UnixSocketType.Stream, 1, 0)).Errno);
        }

        // A dead listener's socket at either name is replaced.
        UnixSocket.Listen(UnixSocket.NameBeside(path), UnixSocketType.Stream, 1, 0).Dispose();
        (SafeSocketFd made, FileStatus file) = UnixSocket.ListenBeside(path, UnixSocketType.Stream, 1, 0b110_000_000);
        using SafeSocketFd listener = made;
        Assert.Equal(Errno.ENOENT, Assert.Throws<SyscallException>(() => UnixSocket.Connect(path, UnixSocketType.Stream)).Errno);
        using (UnixSocket.Listen(path, UnixSocketType.Stream, 1, 0b110_000_000))
        {
            Assert.Equal(Errno.EADDRINUSE, Assert.Throws<SyscallException>(() => UnixSocket.MoveIntoPlace(path, UnixSocketType.Stream, file)).Errno);
        }

        UnixSocket.MoveIntoPlace(path, UnixSocketType.Stream, file);

        using SafeSocketFd client = UnixSocket.Connect(path, UnixSocketType.Stream);
        Assert.Equal(Errno.ENOENT, FileIo.TryStat(UnixSocket.NameBeside(path), out _));
        Assert.Equal(Errno.ENOENT, Assert.Throws<SyscallException>(() => UnixSocket.MoveIntoPlace(path, UnixSocketType.Stream, file)).Errno);
    }

    // Another one's directory is put into the place of the directory at every moment: whatever is made, given away and removed is the socket itself, in one of them.
    [SkippableFact]
    public void Directory_that_is_exchanged_meanwhile_costs_no_other_socket_its_owner_or_its_name()
    {
        Require.Root();
        string own = Directory.CreateDirectory(_directory.Combine("run")).FullName;
        string others = Directory.CreateDirectory(_directory.Combine("others")).FullName;
        using SafeFile above = FileIo.OpenDirectory(_directory.Path);
        using SafeSocketFd victim = UnixSocket.Listen(Path.Combine(others, "s.new"), UnixSocketType.Stream, 1, 0b110_000_000);
        Assert.Equal(Errno.OK, FileIo.TryStat(Path.Combine(others, "s.new"), out FileStatus before));
        using CancellationTokenSource end = new();
        Thread exchanger = new(() =>
        {
            while (!end.IsCancellationRequested)
            {
                foreach ((string from, string to) in new[] { ("run", "third"), ("others", "run"), ("third", "others") })
                    _ = FileIo.Rename(above, from, to);
            }
        })
        {
            IsBackground = true,
        };
        exchanger.Start();
        int made = 0;
        int missed = 0;
        try
        {
            // Until it has met both directories often, however rarely the other thread runs.
            long begin = Stopwatch.GetTimestamp();
            while (made < 100 || missed < 100)
            {
                Assert.True(Stopwatch.GetElapsedTime(begin) < 3 * Eventually.DefaultDeadline, $"{made} made, {missed} missed");
                MakeOne();
            }
        }
        finally
        {
            end.Cancel();
            exchanger.Join();
        }

        string place = File.Exists(Path.Combine(others, "s.new")) && FileIo.TryStat(Path.Combine(others, "s.new"), out FileStatus there) == Errno.OK && there.Inode == before.Inode ? others : own;
        Assert.Equal(Errno.OK, FileIo.TryStat(Path.Combine(place, "s.new"), out FileStatus after));
        Assert.Equal((before.Inode, before.Uid, before.Mode), (after.Inode, after.Uid, after.Mode));

        void MakeOne()
        {
            try
            {
                string path = Path.Combine(own, "s");
                (SafeSocketFd socket, FileStatus file) = UnixSocket.ListenBeside(path, UnixSocketType.Stream, 1, 0b110_110_110, owner: 65534);
                using (socket)
                    UnixSocket.RemoveBeside(path, (file.Device, file.Inode));
                made++;
            }
            catch (SyscallException e) when (e.Errno is Errno.EADDRINUSE or Errno.ENOENT)
            {
                // It was the other one's turn.
                missed++;
            }
        }
    }

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

    [Fact]
    public void File_in_the_way_of_a_socket_stays()
    {
        string path = _directory.Combine("s");
        (SafeSocketFd made, FileStatus file) = UnixSocket.ListenBeside(path, UnixSocketType.Stream, 1, 0b110_000_000);
        using SafeSocketFd listener = made;
        File.WriteAllText(path, "precious");
        Assert.Equal(Errno.EEXIST, Assert.Throws<SyscallException>(() => UnixSocket.MoveIntoPlace(path, UnixSocketType.Stream, file)).Errno);
        UnixSocket.RemoveBeside(path, (file.Device, file.Inode));
        UnixSocket.RemoveBeside(path, (file.Device, file.Inode));
        Assert.Equal(Errno.ENOENT, FileIo.TryStat(UnixSocket.NameBeside(path), out _));
        Assert.Equal(Errno.EEXIST, Assert.Throws<SyscallException>(() => UnixSocket.ListenBeside(path, UnixSocketType.Stream, 1, 0)).Errno);
        Assert.Equal("precious", File.ReadAllText(path));
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
        using SafeSocketFd server = Connected(listener, path, type, out SafeSocketFd client);
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
    public void Path_longer_than_a_socket_address_works()
    {
        string deep = _directory.Path;
        while (deep.Length < 300)
            deep = Path.Combine(deep, "a-directory-with-a-long-name");
        Directory.CreateDirectory(deep);
        string path = Path.Combine(deep, "s");
        DescriptorWatch watch = DescriptorWatch.Start();
        using (SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_110_000))
        {
            Assert.True(File.Exists(path));
            Assert.Equal((UnixFileMode)0b110_110_000, new FileInfo(path).UnixFileMode);
            using SafeSocketFd server = Connected(listener, path, UnixSocketType.SeqPacket, out SafeSocketFd client);
            client.Dispose();
        }

        // The directory's descriptor was needed for a moment only.
        watch.AssertUnchanged();
        using SafeSocketFd again = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_110_000);
    }

    [Fact]
    public void Path_at_the_border_of_the_address_works()
    {
        // 107 bytes fit with the terminator; 108 do not and go the long way round.
        foreach (int length in new[] { 106, 107, 108, 109 })
        {
            string path = _directory.Combine(new string('s', length - _directory.Path.Length - 1));
            Assert.Equal(length, path.Length);
            if (Path.GetFileName(path).Length > 85)
                continue;
            using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 4, 0b110_000_000);
            using SafeSocketFd server = Connected(listener, path, UnixSocketType.Stream, out SafeSocketFd client);
            client.Dispose();
        }
    }

    [Fact]
    public void Name_too_long_even_for_the_detour_is_refused()
    {
        string path = _directory.Combine(new string('s', 120));
        Assert.Equal(Errno.ENAMETOOLONG, Assert.Throws<SyscallException>(() => UnixSocket.Listen(path, UnixSocketType.Stream, 4, 0)).Errno);
        Assert.Equal(Errno.EINVAL, Assert.Throws<SyscallException>(() => UnixSocket.Connect("/tmp/a\0b", UnixSocketType.Stream)).Errno);
    }

    [Fact]
    public void Socket_of_a_dead_listener_is_replaced()
    {
        string path = _directory.Combine("s");
        UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000).Dispose();
        Assert.True(File.Exists(path));
        Assert.Equal(Errno.ECONNREFUSED, ConnectError(path, UnixSocketType.SeqPacket));
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000);
        using SafeSocketFd server = Connected(listener, path, UnixSocketType.SeqPacket, out SafeSocketFd client);
        client.Dispose();
    }

    [Theory]
    [InlineData(UnixSocketType.SeqPacket)]
    [InlineData(UnixSocketType.Stream)]
    public void Living_listener_is_left_alone_whatever_its_type(UnixSocketType type)
    {
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000);
        DescriptorWatch watch = DescriptorWatch.Start();
        SyscallException e = Assert.Throws<SyscallException>(() => UnixSocket.Listen(path, type, 4, 0b110_000_000));
        Assert.Equal(Errno.EADDRINUSE, e.Errno);
        Assert.Contains(path, e.Message, StringComparison.Ordinal);
        watch.AssertUnchanged();
        using SafeSocketFd probe = UnixSocket.Connect(path, UnixSocketType.SeqPacket);
    }

    [Fact]
    public void Listener_with_a_full_backlog_counts_as_alive()
    {
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 0, 0b110_000_000);
        using SafeSocketFd waiting = UnixSocket.Connect(path, UnixSocketType.SeqPacket);
        SyscallException e = Assert.Throws<SyscallException>(() => UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0));
        Assert.Equal(Errno.EADDRINUSE, e.Errno);
        Assert.True(File.Exists(path));
    }

    [Fact]
    public void File_that_is_no_socket_is_never_removed()
    {
        string path = _directory.WriteFile("s", "precious"u8);
        SyscallException e = Assert.Throws<SyscallException>(() => UnixSocket.Listen(path, UnixSocketType.Stream, 4, 0b110_000_000));
        Assert.Equal(Errno.EEXIST, e.Errno);
        Assert.Equal("precious", File.ReadAllText(path));

        string link = _directory.Combine("link");
        File.CreateSymbolicLink(link, _directory.Combine("nowhere"));
        Assert.Equal(Errno.EEXIST, Assert.Throws<SyscallException>(() => UnixSocket.Listen(link, UnixSocketType.Stream, 4, 0)).Errno);
        Assert.NotNull(new FileInfo(link).LinkTarget);
    }

    [Fact]
    public void Connect_says_why_it_cannot()
    {
        Assert.Equal(Errno.ENOENT, ConnectError(_directory.Combine("nobody"), UnixSocketType.Stream));
        Assert.Equal(Errno.ECONNREFUSED, ConnectError(_directory.WriteFile("file", []), UnixSocketType.Stream));
        string path = _directory.Combine("s");
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000);
        Assert.Equal(Errno.EPROTOTYPE, ConnectError(path, UnixSocketType.Stream));
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
            using SafePidFd? pidFd = UnixSocket.TryGetPeerPidFd(first);
            Assert.NotNull(pidFd);
            Assert.Equal(Environment.ProcessId, PidFd.ReadPid(pidFd));
            Assert.False(PidFd.HasExited(pidFd));
        }

        using SafeEventFd noSocket = EventFd.Create();
        using SafeSocketFd wrong = noSocket.Duplicate<SafeSocketFd>();
        Assert.Equal(Errno.ENOTSOCK, Assert.Throws<SyscallException>(() => UnixSocket.GetPeerCredentials(wrong)).Errno);
        Assert.Null(UnixSocket.TryGetPeerPidFd(wrong));
    }

    public void Dispose() => _directory.Dispose();

    private static SafeSocketFd Connected(SafeSocketFd listener, string path, UnixSocketType type, out SafeSocketFd client)
    {
        client = UnixSocket.Connect(path, type);
        SafeSocketFd? server = UnixSocket.TryAccept(listener, out Errno errno);
        Assert.Equal(Errno.OK, errno);
        return server!;
    }

    private static Errno ConnectError(string path, UnixSocketType type) =>
        Assert.Throws<SyscallException>(() => UnixSocket.Connect(path, type)).Errno;
}
