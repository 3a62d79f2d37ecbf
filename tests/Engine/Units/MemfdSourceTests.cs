using UffdManager.Engine.Sources;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

public sealed class MemfdSourceTests
{
    [Fact]
    public void Read_that_fails_tells_why_and_only_the_end_of_the_source_is_its_end()
    {
        SafeMemfd memfd = Memfd.Create("source", MemfdFlags.AllowSealing);
        Memfd.Truncate(memfd, 2 * PageSize.Base);
        Assert.Equal(Errno.OK, Memfd.AddSeals(memfd, MemfdSeals.Shrink));
        using MemfdSource source = new(memfd, "source");

        // No process has anything mapped at its first page, so the kernel cannot store there what it has read.
        Assert.Equal(Errno.EFAULT, source.Fetch(PageSize.Base, PageSize.Base, 0, out SourcePages page));
        Assert.Equal(default, page);
        Assert.Equal(SourceAnswer.Slow, source.TryGet(0, PageSize.Base, 0, out _));
        Assert.Equal(Errno.ENXIO, source.Fetch(2 * PageSize.Base, PageSize.Base, 0, out _));
    }
}
