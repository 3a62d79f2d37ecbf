using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Lists with a reset that do not come to their end: what they have reset, they tell.</summary>
public sealed class InterruptedListTests : SnapshotTest
{
    [Fact]
    public void Manager_that_stops_tells_what_it_has_reset()
    {
        ServedClient it = ServeStock();
        ulong[] ranges = [.. Enumerable.Range(0, 32).Select(_ => it.MapRegistered(8 * Page)).Order()];
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        foreach (ulong range in ranges)
            it.Client.WriteByte(range + (3 * Page), 1);
        Task<DirtyPages> list;
        using (HeldLoop halfway = HeldLoop.At(it.Session, () => !IsDirty(ranges[0]) && IsDirty(ranges[^1])))
        {
            list = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true);
            halfway.Await();
            it.Session.Loop.Post(new LoopCommand<bool>(loop => loop.Retire()));
        }

        // Its caller has the rest told by the successor.
        DirtyPages part = list.Finish();
        Assert.Null(part.Error);
        int told = part.Runs.Count;
        Assert.InRange(told, 1, ranges.Length - 1);
        Assert.Equal(ranges[..told].Select(range => new DirtyRun(range + (3 * Page), Page, Page)), part.Runs);
        Assert.InRange(part.Next!.Value, ranges[told - 1] + (3 * Page), ranges[told] + (3 * Page));
        DropEngine();

        bool IsDirty(ulong range) => (it.Session.Pages.Get(range + (3 * Page)) & PageState.Dirty) != 0;
    }
}
