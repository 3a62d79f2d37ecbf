using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Clients whose userfaultfd does not tell what they give back, and that give back what a snapshot has yet to read: what comes in its place is not what they had.</summary>
public sealed class VanishedContentsTests : HaltedSnapshotTest
{
    [Theory]
    [InlineData(RegionFlags.None, true)]
    [InlineData(RegionFlags.RemoveMeansSource, true)]
    [InlineData(RegionFlags.RemoveMeansSource, false)]
    public void Page_of_a_source_ends_it(RegionFlags flags, bool isInMemory)
    {
        ScriptedSource source = Scripted(Pages * Page);
        source.InMemory = isInMemory;
        ServedClient it = ServeStock(UffdFeatures.None);
        ulong at = it.MapRegistered(Pages * Page, source, flags: flags);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        AssertEnds(it, at);
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Page_of_an_image_ends_it(bool writable)
    {
        (ServedClient it, ulong at) = Map(UffdRegisterModes.Missing | UffdRegisterModes.Minor, writable);
        AssertEnds(it, at);
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Image_that_is_shown_without_a_fault_is_refused(bool writable)
    {
        (ServedClient it, ulong at) = Map(UffdRegisterModes.Missing, writable);
        AssertFailed(Begin(it).Report(), Errno.EOPNOTSUPP, "lost unseen");
        it.Client.Run($"fill {at} {Pages * Page} 2");
        Assert.True(it.Client.IsFilledWith(at, Pages * Page, 2));
    }

    [SkippableTheory]
    [InlineData("anon", UffdFeatures.None)]
    [InlineData("memfd-shared", UffdFeatures.None)]
    [InlineData("memfd-private", UffdFeatures.EventRemove)]
    public void Page_that_stays_is_in_it(string kind, UffdFeatures features)
    {
        ServedClient it = ServeStock(features);
        (ulong at, _) = it.Client.Map(kind, Pages * Page);
        it.Register(at, Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        RunningSnapshot snapshot = Halt(it);
        it.Client.Run($"fill {at + (Unsaved * Page)} {8 * Page} 2");
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);
    }

    private void AssertEnds(ServedClient it, ulong at)
    {
        RunningSnapshot snapshot = Halt(it);
        it.Client.Run($"madvise {at + (Unsaved * Page)} {Page} 4");
        AssertEnded(snapshot, Errno.ECANCELED, "gave back");
        it.Client.Run($"fill {at} {Pages * Page} 2");
        Assert.True(it.Client.IsFilledWith(at, Pages * Page, 2));
    }

    private (ServedClient It, ulong At) Map(UffdRegisterModes modes, bool writable)
    {
        SharedImage image = Own(SharedImage.Create(RandomFile((long)(Pages * Page), 1, out _), 0, (long)(Pages * Page), writable, "object"));
        ServedClient it = ServeStock(UffdFeatures.MinorShmem);
        using SafeFd handed = image.HandOut(writable);
        ulong at = it.Client.Run($"mapfd {it.Client.Give(handed)} 0 {Pages * Page} 0 3");
        Assert.Null(it.TryRegister(at, Pages * Page, modes: modes, image: image).Error);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        return (it, at);
    }
}
