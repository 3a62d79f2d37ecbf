using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>Who owns a descriptor, and until when.</summary>
public sealed class SafeFdTests
{
    [Fact]
    public void Lease_keeps_the_descriptor_open_when_the_handle_is_disposed()
    {
        SafeEventFd handle = EventFd.Create();
        FdLease lease = handle.Lease();
        handle.Dispose();
        EventFd.Signal(lease);
        EventFd.Drain(lease);
        lease.Dispose();
        Assert.Throws<ObjectDisposedException>(() => handle.Lease());
    }

    [Fact]
    public void Descriptor_closes_with_the_last_lease()
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        SafeEventFd handle = EventFd.Create();
        FdLease first = handle.Lease();
        FdLease second = handle.Lease();
        handle.Dispose();
        first.Dispose();
        Assert.Single(watch.Added());
        second.Dispose();
        Assert.Empty(watch.Added());
    }

    [Fact]
    public void Default_lease_is_no_descriptor()
    {
        FdLease none = default;
        Assert.True(none.IsNone);
        Assert.Equal(-1, none.Fd);
        Assert.Equal(new UffdResult(Errno.EBADF, 0), Userfaultfd.Copy(none, 0x10000, 0x10000, 4096, UffdCopyModes.None));
        none.Dispose();
    }

    [Fact]
    public void Duplicate_is_close_on_exec_and_shares_the_open_file()
    {
        using SafeEventFd handle = EventFd.Create();
        using SafeFile copy = handle.Duplicate<SafeFile>();
        using FdLease lease = handle.Lease();
        using FdLease copied = copy.Lease();
        Assert.NotEqual(lease.Fd, copied.Fd);
        Assert.True(copied.Fd >= 3);
        string flags = File.ReadLines($"/proc/self/fdinfo/{copied.Fd}").First(l => l.StartsWith("flags:", StringComparison.Ordinal));
        Assert.NotEqual(0, Convert.ToInt32(flags[6..].Trim(), 8) & Libc.O_CLOEXEC);
        EventFd.Signal(lease);
        Assert.True(FdPoll.WaitReadable(copied, TimeSpan.Zero));
    }

    [Fact]
    public void Disowned_descriptor_outlives_its_handle()
    {
        SafeEventFd handle = EventFd.Create();
        int fd = handle.Disown();
        handle.Dispose();
        using SafeEventFd adopted = SafeEventFd.Adopt(fd);
        EventFd.Signal(adopted);
        Assert.Throws<ObjectDisposedException>(() => handle.Disown());
    }

    [Fact]
    public void Borrowed_number_is_never_closed()
    {
        using SafeEventFd owner = EventFd.Create();
        using FdLease lease = owner.Lease();
        using (SafeFile borrowed = new(lease.Fd, owns: false))
            Assert.False(borrowed.IsInvalid);
        EventFd.Signal(lease);
    }

    [Fact]
    public void Invalid_handle_is_told_apart()
    {
        using SafeFile invalid = new(-1);
        Assert.True(invalid.IsInvalid);
    }
}
