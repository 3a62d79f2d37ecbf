using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Reading without waiting, and the plain transfers.</summary>
public sealed class FileIoTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly nuint _buffer = NativePages.Map(65536);

    [SkippableFact]
    public void Cached_bytes_are_read_without_waiting_and_others_are_not_waited_for()
    {
        string path = $"/var/tmp/uffd-test-nowait-{Environment.ProcessId}";
        try
        {
            byte[] contents = new byte[8192];
            contents.AsSpan().Fill(9);
            File.WriteAllBytes(path, contents);
            using SafeFile file = FileIo.Open(path, OpenFlags.ReadWrite);
            Require.That(FileIo.Stat(file).DeviceMajor != 0, "needs /var/tmp on a disk");
            using FdLease lease = file.Lease();
            Assert.Equal(Errno.OK, FileIo.ReadNoWait(lease, _buffer, 8192, 0, out int read));
            Assert.Equal(8192, read);
            Assert.Equal(9, NativePages.At<byte>(_buffer + 8191));

            // Out of the page cache, the disk would have to be waited for. (It may be quick enough once in a while.)
            Eventually.True(() => DropFromCache(path) && FileIo.ReadNoWait(lease, _buffer, 8192, 0, out _) == Errno.EAGAIN, "EAGAIN");
            Assert.Equal(Errno.OK, FileIo.Read(lease, _buffer, 8192, 0, out read));
            Assert.Equal(8192, read);
            Assert.Equal(Errno.OK, FileIo.ReadNoWait(lease, _buffer, 8192, 0, out read));
            Assert.Equal(8192, read);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void File_that_cannot_promise_not_to_wait_says_so()
    {
        using SafeFile proc = FileIo.Open("/proc/self/status", OpenFlags.ReadOnly);
        using FdLease lease = proc.Lease();
        Assert.Equal(Errno.EOPNOTSUPP, FileIo.ReadNoWait(lease, _buffer, 100, 0, out int read));
        Assert.Equal(0, read);
    }

    [Fact]
    public void Transfers_are_short_at_the_end_and_tell_errors()
    {
        using SafeFile file = FileIo.Open(_directory.WriteFile("f", "hello"u8), OpenFlags.ReadWrite);
        using FdLease lease = file.Lease();
        Assert.Equal(Errno.OK, FileIo.Read(lease, _buffer, 100, 2, out int read));
        Assert.Equal(3, read);
        Assert.Equal("llo"u8, NativePages.AsSpan(_buffer, 3));
        Assert.Equal(Errno.OK, FileIo.Read(lease, _buffer, 100, 5, out read));
        Assert.Equal(0, read);
        Assert.Equal(Errno.EINVAL, FileIo.Read(lease, _buffer, 100, -1, out _));
        Assert.Equal(Errno.EFAULT, FileIo.Read(lease, 0x1000, 100, 0, out _));
        Assert.Equal(Errno.OK, FileIo.Write(lease, _buffer, 3, 10, out int written));
        Assert.Equal((3, 13L), (written, FileIo.Stat(file).Size));
    }

    [Fact]
    public void Non_blocking_is_set_on_the_open_file_for_everybody()
    {
        (SafeSocketFd first, SafeSocketFd second) = UnixSocket.Pair(UnixSocketType.Stream);
        using (first)
        using (second)
        using (SafeFile copy = first.Duplicate<SafeFile>())
        {
            Assert.Equal(0, FileIo.GetStatusFlags(first) & Libc.O_NONBLOCK);
            FileIo.SetNonBlocking(copy);
            Assert.NotEqual(0, FileIo.GetStatusFlags(first) & Libc.O_NONBLOCK);
        }
    }

    [Fact]
    public void Native_pages_are_zero_writable_and_movable()
    {
        nuint pages = NativePages.Map(4 * 4096);
        Assert.Equal(0, NativePages.AsSpan(pages, 4 * 4096).IndexOfAnyExcept((byte)0) + 1);
        NativePages.At<long>(pages + 4096) = 42;
        Assert.Equal(Errno.OK, NativePages.Remap(pages, 4 * 4096, 8 * 4096, 0, out nuint moved));
        Assert.Equal(42, NativePages.At<long>(moved + 4096));
        NativePages.Clear(moved + 4096, 8);
        Assert.Equal(0, NativePages.At<long>(moved + 4096));
        NativePages.At<long>(moved) = 1;
        Assert.Equal(Errno.OK, NativePages.Advise(moved, 4096, MemoryAdvice.DontNeed));
        Assert.Equal(0, NativePages.At<long>(moved));
        Assert.Equal(Errno.EINVAL, NativePages.Advise(moved + 1, 4096, MemoryAdvice.DontNeed));
        NativePages.Unmap(moved, 8 * 4096);
        Assert.Equal((nuint)0, NativePages.TryMap(1UL << 60));
        Assert.Equal(Errno.ENOMEM, Assert.Throws<SyscallException>(() => NativePages.Map(1UL << 60)).Errno);
    }

    // The way that dd(1) documents.
    private static bool DropFromCache(string path)
    {
        System.Diagnostics.ProcessStartInfo start = new("dd", [$"of={path}", "oflag=nocache", "conv=notrunc,fdatasync", "count=0"])
        {
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        using System.Diagnostics.Process dd = System.Diagnostics.Process.Start(start)!;
        dd.StandardError.ReadToEnd();
        dd.WaitForExit();
        return dd.ExitCode == 0;
    }

    public void Dispose()
    {
        NativePages.Unmap(_buffer, 65536);
        _directory.Dispose();
    }
}
