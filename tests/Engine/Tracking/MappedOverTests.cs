using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Clients whose userfaultfd does not tell what they map over, or unmap (monitors of virtual machines with a balloon do so): it has changed, and is watched from the next list on.</summary>
public sealed class MappedOverTests : SnapshotTest
{
    private const UffdFeatures Asynchronous = UffdFeatures.EventRemove | UffdFeatures.WpAsync | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated;
    private const UffdFeatures WithMarks = UffdFeatures.EventRemove | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated;

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove, false)]
    [InlineData(UffdFeatures.EventRemove, true)]
    [InlineData(WithMarks, false)]
    [InlineData(WithMarks, true)]
    [InlineData(Asynchronous, false)]
    [InlineData(Asynchronous, true)]
    public void Memory_that_was_mapped_over_since_the_last_list_is_on_the_next(UffdFeatures features, bool isTouched)
    {
        (ServedClient it, ulong at) = Tracked(features);
        it.Client.WriteByte(at + (20 * Page), 1);
        it.Client.Run($"mapfixed {at + (8 * Page)} {8 * Page}");
        if (isTouched)
            it.Client.WriteByte(at + (9 * Page), 1);
        DirtyRun[] changed = [new(at + (8 * Page), 8 * Page, Page), new(at + (20 * Page), Page, Page)];
        Assert.Equal(changed, List(it, reset: false));
        Assert.Equal(changed, List(it, reset: true));
        Assert.Empty(List(it, reset: true));
        it.Client.WriteByte(at + (9 * Page), 2);
        it.Client.WriteByte(at + (14 * Page), 2);
        Assert.Equal([new DirtyRun(at + (9 * Page), Page, Page), new DirtyRun(at + (14 * Page), Page, Page)], List(it, reset: true));
        it.AssertZero(at + (10 * Page), 4 * Page);
    }

    [Fact]
    public void Holes_by_the_hundred_are_all_on_the_list()
    {
        const ulong Holes = 600;
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(2 * Holes * Page, RandomFile(2 * (long)(Holes * Page), 4, out byte[] contents));
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        for (ulong hole = 0; hole < Holes; hole++)
            it.Client.Run($"mapfixed {at + (2 * hole * Page)} {Page}");
        Assert.Equal(Enumerable.Range(0, (int)Holes).Select(hole => new DirtyRun(at + (2 * (ulong)hole * Page), Page, Page)), List(it, reset: true));
        Assert.Empty(List(it, reset: true));
        ulong last = at + (2 * (Holes - 1) * Page);
        it.Client.WriteByte(last, 1);
        Assert.Equal([new DirtyRun(last, Page, Page)], List(it, reset: false));
        Assert.Equal(contents[(int)(last - at) + (int)Page], it.Client.ReadByte(last + Page));
    }

    [Fact]
    public void Part_of_a_list_looks_for_what_was_mapped_over_behind_the_part_before_it()
    {
        (ServedClient it, ulong at) = Tracked(UffdFeatures.EventRemove);
        it.Client.WriteByte(at + (2 * Page), 1);
        it.Client.WriteByte(at + (4 * Page), 1);
        DirtyPages first = FaultEngine.DirtyPagesAsync(it.Session, 0, 1, reset: true).Finish();
        Assert.Equal([new DirtyRun(at + (2 * Page), Page, Page)], first.Runs);
        Assert.Equal(at + (4 * Page), first.Next);
        it.Client.Run($"mapfixed {at} {Page}");
        it.Client.Run($"mapfixed {at + (8 * Page)} {Page}");
        Assert.Equal(
            [new DirtyRun(at + (4 * Page), Page, Page), new DirtyRun(at + (8 * Page), Page, Page)],
            FaultEngine.DirtyPagesAsync(it.Session, first.Next!.Value + 17, 10, reset: true).Finish().Runs);
        it.AssertZero(at, Page);
        Assert.Equal([new DirtyRun(at, Page, Page)], List(it, reset: true));
    }

    [Fact]
    public void Tracking_does_not_begin_where_something_is_mapped_over_meanwhile()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(64 * Page, RandomFile(64 * (long)Page, 6, out _));
        it.Client.Run($"touch {at} {64 * Page}");
        Task<EngineResult> tracking;
        using (HeldLoop registered = BeginTracking(it, out tracking))
        {
            registered.Await();

            // Nothing is there that could be protected, or could not.
            it.Client.Run($"mapfixed {at + (8 * Page)} {8 * Page}");
        }

        EngineError error = tracking.Finish().Error!;
        Assert.Equal(Errno.ENOENT, error.Errno);
        Assert.Contains("mapped something else", error.Text, StringComparison.Ordinal);
        Assert.Null(FaultEngine.TrackingAsync(it.Session).Finish());
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at + (9 * Page), 1);
        Assert.Equal([new DirtyRun(at + (9 * Page), Page, Page)], List(it, reset: true));
    }

    [Fact]
    public void What_was_told_with_a_reset_is_not_lost_when_the_rest_cannot_be_told()
    {
        ServedClient it = ServeStock();
        ulong[] ranges = [.. Enumerable.Range(0, 32).Select(_ => it.MapRegistered(8 * Page)).Order()];
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        foreach (ulong range in ranges)
            it.Client.WriteByte(range + (3 * Page), 1);
        Task<DirtyPages> list;
        using (HeldLoop told = HeldLoop.At(it.Session, () => !IsDirty(ranges[0]) && IsDirty(ranges[^1])))
        {
            list = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true);
            told.Await();

            // No mapping began there when the list began: its look comes too early, and only the protection that is refused tells.
            it.Client.Run($"mapfixed {ranges[^1] + (3 * Page)} {4 * Page}");
        }

        DirtyPages part = list.Finish();
        Assert.Null(part.Error);
        DirtyPages rest = FaultEngine.DirtyPagesAsync(it.Session, part.Next!.Value, 100, reset: true).Finish();
        Assert.Null(rest.Error);
        Assert.Null(rest.Next);
        Assert.Equal(ranges.Select(range => new DirtyRun(range + (3 * Page), range == ranges[^1] ? 4 * Page : Page, Page)), part.Runs.Concat(rest.Runs));

        bool IsDirty(ulong range) => (it.Session.Pages.Get(range + (3 * Page)) & PageState.Dirty) != 0;
    }

    [Fact]
    public void Page_that_was_unmapped_is_told_once()
    {
        (ServedClient it, ulong at) = Tracked(UffdFeatures.EventRemove);
        it.Client.WriteByte(at + (2 * Page), 1);
        it.Client.WriteByte(at + (4 * Page), 1);
        it.Client.Run($"munmap {at + (2 * Page)} {Page}");
        Assert.Equal([new DirtyRun(at + (2 * Page), Page, Page), new DirtyRun(at + (4 * Page), Page, Page)], List(it, reset: true));
        Assert.Empty(List(it, reset: true));
    }

    private (ServedClient It, ulong At) Tracked(UffdFeatures features)
    {
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(64 * Page, RandomFile(64 * (long)Page, 6, out _));
        it.Client.Run($"touch {at} {32 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Empty(List(it, reset: true));
        return (it, at);
    }

    // Held when every region is registered, and none protected.
    private HeldLoop BeginTracking(ServedClient it, out Task<EngineResult> tracking)
    {
        HeldLoop held = HeldLoop.At(it.Session, () => it.Session.Regions.All.All(region => region.IsTracked));
        tracking = Engine.StartTrackingAsync(it.Session);
        return held;
    }

    private static IReadOnlyList<DirtyRun> List(ServedClient it, bool reset)
    {
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10_000, reset).Finish();
        Assert.Null(dirty.Error);
        Assert.Null(dirty.Next);
        return dirty.Runs;
    }
}
