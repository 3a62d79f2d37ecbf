using UffdManager.Engine.Regions;
using UffdManager.Engine.State;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.State;
using UffdManager.Engine.Tracking;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>What was noted of changed pages outlives the manager.</summary>
public sealed class TrackingRestoreTests : RestoreTest
{
    [Fact]
    public void Successor_lists_what_changed_before_and_after_it_came()
    {
        ServedClient it = Serve();
        ulong at = it.MapRegistered(16 * Page, RandomFile(16 * (long)Page, 1, out _));
        it.Client.Run($"touch {at} {4 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        long since = FaultEngine.TrackingAsync(it.Session).Finish()!.Since;
        it.Client.WriteByte(at + Page, 1);
        it.Client.WriteByte(at + (8 * Page), 1);
        it.Client.Run($"madvise {at + (2 * Page)} {Page} 4");
        Eventually.True(() => FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: false).Finish().Runs.Count == 2, "what was given back to be noted");
        it = Again(it, Restart());
        Assert.Equal(since, FaultEngine.TrackingAsync(it.Session).Finish()!.Since);
        it.Client.WriteByte(at, 1);
        it.Client.WriteByte(at + (12 * Page), 1);
        it.Client.ReadByte(at + (13 * Page));
        (ulong late, _) = it.Client.Map("anon", Page);
        it.Register(late, Page);
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: true).Finish();
        DirtyRun[] wanted =
        [
            new(at, 3 * Page, Page), new(at + (8 * Page), Page, Page), new(at + (12 * Page), Page, Page), new(late, Page, Page),
        ];
        Assert.Equal(wanted.OrderBy(run => run.Start), dirty.Runs);
        Assert.Empty(FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: true).Finish().Runs);
    }

    [Fact]
    public void Tracking_that_was_not_complete_is_lifted_by_the_successor()
    {
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page);
        it.Client.Run($"fill {at} {4 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);

        // Where a manager stands that is killed in the middle of starting or stopping it.
        it.Session.TrackedSince = 0;
        it.Session.Record();
        it = Again(it, Restart());
        Eventually.True(() => it.Regions().All(region => (region.Flags & RegionFlags.Tracked) == 0), "the protection to be lifted");
        Assert.Null(FaultEngine.TrackingAsync(it.Session).Finish());
        it.Client.Run($"fill {at} {4 * Page} 2");
        Assert.Equal(0, CountersOf(Alice).Faults(Telemetry.FaultKind.WriteProtect, Telemetry.FaultOutcome.Unprotected));
    }

    [Fact]
    public void Page_that_was_poisoned_after_it_had_changed_is_listed_by_the_successor()
    {
        ServedClient it = Serve();
        ulong at = it.MapRegistered(4 * Page, RandomFile(4 * (long)Page, 1, out _));
        it.Client.Run($"touch {at} {4 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        new HeldLoop(it.Session, () => Assert.True(it.Session.Pages.TrySetPage(at + Page, Page, PageState.Poisoned | PageState.Dirty))).Dispose();
        it = Again(it, Restart());
        Assert.Equal([new DirtyRun(at + Page, Page, Page)], FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: false).Finish().Runs);
    }
}
