using System.Diagnostics;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>The names of sockets in the file system: made, replaced, moved, left alone.</summary>
public sealed class UnixSocketPlacesTests : IDisposable
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
            using SafeSocketFd server = Sockets.Connected(listener, path, UnixSocketType.SeqPacket, out SafeSocketFd client);
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
            using SafeSocketFd server = Sockets.Connected(listener, path, UnixSocketType.Stream, out SafeSocketFd client);
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
        Assert.Equal(Errno.ECONNREFUSED, Sockets.ConnectError(path, UnixSocketType.SeqPacket));
        using SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.SeqPacket, 4, 0b110_000_000);
        using SafeSocketFd server = Sockets.Connected(listener, path, UnixSocketType.SeqPacket, out SafeSocketFd client);
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

    public void Dispose() => _directory.Dispose();
}
