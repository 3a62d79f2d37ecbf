using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Linux.Tests;

/// <summary>No name that a client can think of leads out of the directory.</summary>
public sealed class OpenBeneathTests : IDisposable
{
    private readonly TempDirectory _outer = new();
    private readonly string _inner;
    private readonly SafeFile _directory;

    public OpenBeneathTests()
    {
        _inner = _outer.Combine("inner");
        Directory.CreateDirectory(Path.Combine(_inner, "sub"));
        _outer.WriteFile("secret", "secret"u8);
        File.WriteAllText(Path.Combine(_inner, "image"), "image");
        File.WriteAllText(Path.Combine(_inner, "sub", "image"), "deeper");
        File.CreateSymbolicLink(Path.Combine(_inner, "link-out"), _outer.Combine("secret"));
        File.CreateSymbolicLink(Path.Combine(_inner, "link-up"), "../secret");
        File.CreateSymbolicLink(Path.Combine(_inner, "link-in"), "image");
        Directory.CreateSymbolicLink(Path.Combine(_inner, "link-dir"), _outer.Path);
        _directory = FileIo.OpenDirectory(_inner);
    }

    [Theory]
    [InlineData("image", 5)]
    [InlineData("sub/image", 6)]
    [InlineData("sub/../image", 5)]
    [InlineData("./image", 5)]
    public void Name_inside_opens(string name, long size)
    {
        using SafeFile? file = FileIo.OpenBeneath(_directory, name, OpenFlags.ReadOnly, out Errno errno);
        Assert.Equal(Errno.OK, errno);
        Assert.Equal(size, FileIo.Stat(file!).Size);
    }

    [Theory]
    [InlineData("../secret", Errno.EXDEV)]
    [InlineData("sub/../../secret", Errno.EXDEV)]
    [InlineData("..", Errno.EXDEV)]
    [InlineData("/etc/passwd", Errno.EXDEV)]
    [InlineData("link-out", Errno.ELOOP)]
    [InlineData("link-up", Errno.ELOOP)]
    [InlineData("link-in", Errno.ELOOP)]
    [InlineData("link-dir/secret", Errno.ELOOP)]
    [InlineData("missing", Errno.ENOENT)]
    [InlineData("", Errno.ENOENT)]
    [InlineData("image/x", Errno.ENOTDIR)]
    [InlineData("image\0../../secret", Errno.EINVAL)]
    public void Name_that_leads_out_or_through_a_link_does_not(string name, Errno expected)
    {
        DescriptorWatch watch = DescriptorWatch.Start();
        Assert.Null(FileIo.OpenBeneath(_directory, name, OpenFlags.ReadOnly, out Errno errno));
        Assert.Equal(expected, errno);
        watch.AssertUnchanged();
    }

    [Fact]
    public void Magic_link_of_proc_does_not_lead_out()
    {
        using SafeFile proc = FileIo.OpenDirectory("/proc/self/fd");
        using SafeFile secret = FileIo.Open(_outer.Combine("secret"), OpenFlags.ReadOnly);
        using FdLease lease = secret.Lease();
        Assert.Null(FileIo.OpenBeneath(proc, lease.Fd.ToString(System.Globalization.CultureInfo.InvariantCulture), OpenFlags.ReadOnly, out Errno errno));
        Assert.Equal(Errno.ELOOP, errno);
    }

    [Fact]
    public void Fifo_does_not_make_the_opener_wait()
    {
        string fifo = Path.Combine(_inner, "fifo");
        using (System.Diagnostics.Process mkfifo = System.Diagnostics.Process.Start("mkfifo", [fifo]))
            mkfifo.WaitForExit();
        using SafeFile? file = FileIo.OpenBeneath(_directory, "fifo", OpenFlags.ReadOnly | OpenFlags.NonBlock, out Errno errno);
        Assert.Equal(Errno.OK, errno);
        Assert.False(FileIo.Stat(file!).IsRegular);
    }

    [Fact]
    public void Directory_that_is_a_file_is_refused()
    {
        Assert.Equal(Errno.ENOTDIR, Assert.Throws<SyscallException>(() => FileIo.OpenDirectory(Path.Combine(_inner, "image"))).Errno);
    }

    public void Dispose()
    {
        _directory.Dispose();
        _outer.Dispose();
    }
}
