using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Clients that change their address space while tracking begins.</summary>
public sealed class MeanwhileTests : EngineTest
{
    [Fact]
    public void Range_that_moves_behind_the_registering_is_tracked()
    {
        const int Ranges = 32;
        ServedClient it = Serve(policy: Zero);
        ulong[] ranges = [.. Enumerable.Range(0, Ranges + 1).Select(_ => it.Client.Map("anon", Page).Address).Order()];
        for (int i = 1; i <= Ranges; i++)
        {
            it.Register(ranges[i], Page);
            it.Client.Run($"fill {ranges[i]} {Page} 1");
        }

        // The last one moves before the first one, which is registered already.
        Task<EngineResult> tracking;
        PendingReply moving;
        using (HeldLoop registering = HeldLoop.At(it.Session, () => it.Session.Regions.All.Count(region => region.IsTracked) is > 0 and < Ranges / 2))
        {
            tracking = Engine.StartTrackingAsync(it.Session);
            registering.Await();
            moving = it.BeginToTell($"mremap {ranges[^1]} {Page} {Page} {ranges[0]}");
        }

        moving.Await();
        Assert.Null(tracking.Finish().Error);
        Eventually.True(() => it.Session.Regions.All[0].Start == ranges[0], "the move to be taken in");
        Assert.True(it.Regions()[0].Flags.HasFlag(RegionFlags.Tracked));
        _ = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish();
        it.Client.WriteByte(ranges[0], 2);
        Assert.Equal([new DirtyRun(ranges[0], Page, Page)], FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: false).Finish().Runs);
    }

    /// <remarks>
    /// <code>
    /// operator                        program                       loop (stands still)
    /// track: reads the mappings
    ///                                 moves a range to a place
    ///                                 where nothing has been
    ///                                                               reads of the move, begins to track
    /// </code>
    /// What was read says that nothing is there.
    /// </remarks>
    [Fact]
    public void Range_that_moves_behind_the_look_at_the_mappings_is_protected()
    {
        const ulong Place = 0x6000_0000_0000;
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Task<EngineResult> tracking;
        PendingReply moving;
        using (new HeldLoop(it.Session))
        {
            tracking = Engine.StartTrackingAsync(it.Session);
            moving = it.BeginToTell($"mremap {at} {8 * Page} {8 * Page} {Place}");
        }

        moving.Await();
        Assert.Null(tracking.Finish().Error);
        it.Client.WriteByte(Place + (3 * Page), 2);
        DirtyPages changed = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish();
        Assert.Contains(changed.Runs, run => run.Start <= Place + (3 * Page) && Place + (3 * Page) < run.Start + run.Length);
        it.Client.WriteByte(Place + (5 * Page), 2);
        Assert.Equal([new DirtyRun(Place + (5 * Page), Page, Page)], FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish().Runs);
    }
}
