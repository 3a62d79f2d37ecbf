using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Memory handed to strangers: what they can do to it, and what they cannot.</summary>
public sealed class MemfdTests
{
    [Fact]
    public void Sealed_memory_does_not_shrink_or_grow()
    {
        using SafeMemfd memfd = Memfd.Create("sealed", MemfdFlags.AllowSealing);
        Memfd.Truncate(memfd, 8192);
        Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.Shrink | MemfdSeals.Grow));
        Assert.Equal(MemfdSeals.Shrink | MemfdSeals.Grow, Memfd.GetSeals(memfd));
        Assert.Equal(Errno.EPERM, Assert.Throws<SyscallException>(() => Memfd.Truncate(memfd, 4096)).Errno);
        Assert.Equal(Errno.EPERM, Assert.Throws<SyscallException>(() => Memfd.Truncate(memfd, 16384)).Errno);
        Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.Seal));
        Assert.Equal(Errno.EPERM, Memfd.AddSeals(memfd, MemfdSeals.Write));
    }

    [Fact]
    public void Write_seal_waits_for_the_last_writable_mapping()
    {
        using SafeMemfd memfd = Memfd.Create("sealed", MemfdFlags.AllowSealing);
        Memfd.Truncate(memfd, 4096);
        nuint view = NativePages.MapShared(memfd, 0, 4096, writable: true);
        Assert.Equal(Errno.EBUSY, Memfd.AddSeals(memfd, MemfdSeals.Write));

        // The manager's own mapping goes on; nobody gets a new one.
        Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.FutureWrite));
        NativePages.At<int>(view) = 5;
        Assert.Equal(Errno.EPERM, Assert.Throws<SyscallException>(() => NativePages.MapShared(memfd, 0, 4096, writable: true)).Errno);
        NativePages.Unmap(view, 4096);
        Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.Write));
    }

    [Fact]
    public void Memory_that_allows_no_seals_and_files_that_know_none_are_told_apart()
    {
        using SafeMemfd memfd = Memfd.Create("plain", MemfdFlags.None);
        Assert.Equal(MemfdSeals.Seal, Memfd.GetSeals(memfd));
        Assert.Equal(Errno.EPERM, Memfd.AddSeals(memfd, MemfdSeals.Shrink));
        using SafeEventFd none = EventFd.Create();
        Assert.Equal(Errno.EINVAL, Assert.Throws<SyscallException>(() => Memfd.GetSeals(none)).Errno);
    }

    [Fact]
    public void Read_only_descriptor_maps_privately_and_never_writes()
    {
        using SafeMemfd memfd = Memfd.Create("image", MemfdFlags.AllowSealing);
        Memfd.Truncate(memfd, 4096);
        using SafeFile readOnly = Memfd.ReopenReadOnly(memfd);
        Assert.Equal(Errno.EACCES, Assert.Throws<SyscallException>(() => NativePages.MapShared(readOnly, 0, 4096, writable: true)).Errno);
        Assert.Equal(Errno.EPERM, Memfd.AddSeals(readOnly, MemfdSeals.Seal));
        const PageProtection ReadWrite = PageProtection.Read | PageProtection.Write;
        Assert.Equal(Errno.OK, NativePages.Map(readOnly, 0, 4096, ReadWrite, MappingFlags.None, 0, out nuint own));
        NativePages.At<int>(own) = 1;
        nuint view = NativePages.MapShared(readOnly, 0, 4096, writable: false);
        Assert.Equal(0, NativePages.At<int>(view));
        NativePages.Unmap(view, 4096);
        NativePages.Unmap(own, 4096);
        using FdLease lease = readOnly.Lease();
        nuint buffer = NativePages.Map(4096);
        Assert.Equal(Errno.EBADF, FileIo.Write(lease, buffer, 10, 0, out int written));
        Assert.Equal(0, written);
        NativePages.Unmap(buffer, 4096);
    }

    [Fact]
    public void Holes_are_found_punched_and_counted()
    {
        using SafeMemfd memfd = Memfd.Create("holes", MemfdFlags.None);
        Memfd.Truncate(memfd, 64 * 4096);
        Assert.Equal(-1, FileIo.SeekData(memfd, 0));
        nuint view = NativePages.MapShared(memfd, 0, 64 * 4096, writable: true);
        NativePages.At<byte>(view + (16 * 4096)) = 1;
        NativePages.Unmap(view, 64 * 4096);
        Assert.Equal(16 * 4096, FileIo.SeekData(memfd, 0));
        Assert.Equal(17 * 4096, FileIo.SeekHole(memfd, 16 * 4096));
        Assert.Equal(-1, FileIo.SeekHole(memfd, 65 * 4096));
        FileStatus status = FileIo.Stat(memfd);
        Assert.Equal((64 * 4096L, 8L, true), (status.Size, status.Blocks, status.IsRegular));
        Assert.Equal(Errno.OK, FileIo.Fallocate(memfd, FallocateMode.PunchHole | FallocateMode.KeepSize, 16 * 4096, 4096));
        Assert.Equal(0, FileIo.Stat(memfd).Blocks);
        Assert.Equal(-1, FileIo.SeekData(memfd, 0));
    }
}
