using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Pages that are missing although the loop takes them for present: they have gone without its knowledge, or the message of their fault is late.</summary>
public sealed class VanishedPageTests : SnapshotTest
{
    private const ulong At = 2 * Page;

    [Theory]
    [InlineData(RegionFlags.None, false)]
    [InlineData(RegionFlags.RemoveMeansSource, false)]
    [InlineData(RegionFlags.RemoveMeansSource, true)]
    public void Page_that_goes_after_a_list_has_found_it_has_changed_when_it_comes_back(RegionFlags flags, bool isInMemory)
    {
        (ServedClient it, ulong at, ScriptedSource source) = Tracked(flags, isInMemory);
        it.Client.Run($"madvise {at + At} {Page} 4");
        Assert.Equal([new DirtyRun(at + At, Page, Page)], List(it));

        // As lists leave it that came before the page went.
        new HeldLoop(it.Session, () =>
        {
            Assert.True(it.Session.Pages.TrySetPage(at + At, Page, PageState.Present));
            it.Session.ResidentBytes += (long)Page;
            it.Session.Counters.ResidentBytes += (long)Page;
        }).Dispose();
        if (flags == RegionFlags.None)
            it.AssertZero(at + At, Page);
        else
            it.AssertHolds(at + At, Page, source, (long)At);
        Assert.Equal([new DirtyRun(at + At, Page, Page)], List(it));
        Assert.Equal(8 * (long)Page, it.Status().ResidentBytes);
        Assert.True(it.Client.IsFilledWith(at, At, 1));
    }

    [Theory]
    [InlineData(RegionFlags.None, false)]
    [InlineData(RegionFlags.RemoveMeansSource, false)]
    [InlineData(RegionFlags.RemoveMeansSource, true)]
    public void Late_message_of_a_fault_is_no_change(RegionFlags flags, bool isInMemory)
    {
        (ServedClient it, ulong at, ScriptedSource source) = Tracked(flags, isInMemory);
        int entered = source.Entered;
        new HeldLoop(it.Session, () => it.Session.Loop.DeferUncertain(it.Session, at + At, UffdFaultFlags.None, MonotonicClock.NowNanoseconds, 0)).Dispose();
        Eventually.True(() => (StateOf(it, at + At) & PageState.Deferred) == 0, "the message to be taken in");
        Assert.Empty(List(it));
        Assert.Equal(entered, source.Entered);
        Assert.True(it.Client.IsFilledWith(at, 8 * Page, 1));
    }

    [SkippableFact]
    public void Page_of_an_image_that_shows_the_image_again_has_changed_though_no_event_told_it()
    {
        SharedImage image = Own(SharedImage.Create(RandomFile(8 * (long)Page, 1, out byte[] contents), 0, 8 * (long)Page, writable: false, "object"));
        ServedClient it = ServeStock(UffdFeatures.MinorShmem);
        using SafeFd handed = image.HandOut(false);
        ulong at = it.Client.Run($"mapfd {it.Client.Give(handed)} 0 {8 * Page} 0 3");
        Assert.Null(it.TryRegister(at, 8 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.Minor, image: image).Error);
        it.Client.Run($"touch {at} {8 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Run($"fill {at + At} {Page} 1");
        Assert.Equal([new DirtyRun(at + At, Page, Page)], List(it));
        it.Client.Run($"madvise {at + At} {Page} 4");
        Assert.Equal(contents[(int)At], it.Client.ReadByte(at + At));
        Assert.Equal([new DirtyRun(at + At, Page, Page)], List(it));
        Assert.Empty(List(it));
    }

    private (ServedClient It, ulong At, ScriptedSource Source) Tracked(RegionFlags flags, bool isInMemory)
    {
        ScriptedSource source = Scripted(8 * Page);
        source.InMemory = isInMemory;
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, source, flags: flags);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Empty(List(it));
        return (it, at, source);
    }

    private static PageState StateOf(ServedClient it, ulong page)
    {
        PageState state = default;
        new HeldLoop(it.Session, () => state = it.Session.Pages.Get(page)).Dispose();
        return state;
    }

    private static IReadOnlyList<DirtyRun> List(ServedClient it)
    {
        DirtyPages pages = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish();
        Assert.Null(pages.Error);
        return pages.Runs;
    }
}
