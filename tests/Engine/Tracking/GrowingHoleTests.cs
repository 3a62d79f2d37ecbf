using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>
/// A balloon that goes on growing after the mappings of its client have been looked at, and before its memory is asked after: what lies behind it is memory that nobody has mapped over, and
/// goes on showing its source.
/// </summary>
public sealed class GrowingHoleTests : SnapshotTest
{
    private const ulong Length = 64 * Page;
    private const ulong Hole = 8 * Page;
    private const ulong HoleLength = 8 * Page;
    private const UffdFeatures WithMarks = UffdFeatures.EventRemove | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated;
    private const UffdFeatures Asynchronous = WithMarks | UffdFeatures.WpAsync;

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove, false)]
    [InlineData(UffdFeatures.EventRemove, true)]
    [InlineData(WithMarks, false)]
    [InlineData(WithMarks, true)]
    [InlineData(Asynchronous, false)]
    [InlineData(Asynchronous, true)]
    public void List_has_what_it_grew_over_and_nothing_behind_it(UffdFeatures features, bool reset)
    {
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(Length, RandomFile((long)Length, 5, out byte[] contents));
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        DirtyPages list = Growing(it, at, () => FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset));
        Assert.Null(list.Error);
        Assert.Equal([new DirtyRun(at + Hole, HoleLength + Page, Page)], list.Runs);
        AssertGrown(it, at, contents);
    }

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove)]
    [InlineData(WithMarks)]
    [InlineData(Asynchronous)]
    public void Tracking_begins_and_what_is_behind_it_keeps_its_source(UffdFeatures features)
    {
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(Length, RandomFile((long)Length, 5, out byte[] contents));
        Assert.Null(Growing(it, at, () => Engine.StartTrackingAsync(it.Session)).Error);
        AssertGrown(it, at, contents);
        it.Client.WriteByte(at + Hole + HoleLength, 1);
        it.Client.WriteByte(at + Hole + HoleLength + Page, 1);
        DirtyPages list = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: false).Finish();
        Assert.Null(list.Error);
        Assert.Equal([new DirtyRun(at + Hole + HoleLength, 2 * Page, Page)], list.Runs);
    }

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove, false)]
    [InlineData(UffdFeatures.EventRemove, true)]
    [InlineData(WithMarks, false)]
    [InlineData(WithMarks, true)]
    public void Snapshot_has_the_source_of_what_is_behind_it(UffdFeatures features, bool isTracked)
    {
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(Length, RandomFile((long)Length, 5, out byte[] contents));
        if (isTracked)
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        RunningSnapshot? snapshot = null;
        _ = Growing(it, at, () => (snapshot = Begin(it)).Task);
        Assert.Equal(Grown(contents), snapshot!.Finish());
        AssertGrown(it, at, contents);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void First_page_of_memory_that_was_not_mapped_over_before_is_no_more_than_that(bool isTouched)
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(Length, RandomFile((long)Length, 7, out byte[] contents));
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Task<DirtyPages> list;
        using (new HeldLoop(it.Session))
        {
            list = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true);
            it.Client.Run($"mapfixed {at} {Page}");
            if (isTouched)
                it.Client.WriteByte(at, 1);
        }

        Assert.Equal([new DirtyRun(at, Page, Page)], list.Finish().Runs);
        AssertHolds(it, at + Page, contents.AsSpan((int)Page));
    }

    [Fact]
    public void Hole_of_many_slices_is_taken_in_to_its_end_while_it_grows()
    {
        const ulong Pages = 2000;
        ServedClient it = ServeStock();
        ulong length = (Pages + 64) * Page;
        ulong at = it.MapRegistered(length, RandomFile((long)length, 8, out byte[] contents));
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Run($"mapfixed {at + Page} {Pages * Page}");
        Task<DirtyPages> list;
        using (HeldLoop halfway = HeldLoop.At(it.Session, () => it.Session.State == SessionState.Serving && (it.Session.Pages.Get(at + Page) & PageState.Dirty) != 0))
        {
            list = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true);
            halfway.Await();
            Assert.True((it.Session.Pages.Get(at + (Pages * Page)) & PageState.Dirty) == 0, "all of it was one slice");
            it.Client.Run($"mapfixed {at + ((Pages - 1) * Page)} {8 * Page}");
        }

        Assert.Equal([new DirtyRun(at + Page, (Pages + 6) * Page, Page)], list.Finish().Runs);
        Assert.Empty(FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish().Runs);
        it.AssertZero(at + Page, (Pages + 6) * Page);
        AssertHolds(it, at + ((Pages + 7) * Page), contents.AsSpan((int)((Pages + 7) * Page)));
    }

    // The look at the mappings belongs to the begin of the work; the loop asks the kernel after them when the hole has grown by the first page of the mapping behind it.
    private static T Growing<T>(ServedClient it, ulong at, Func<Task<T>> begin)
    {
        it.Client.Run($"mapfixed {at + Hole} {HoleLength}");
        Task<T> work;
        using (new HeldLoop(it.Session))
        {
            work = begin();
            it.Client.Run($"mapfixed {at + Hole + HoleLength} {Page}");
        }

        return work.Finish();
    }

    private static byte[] Grown(byte[] contents)
    {
        byte[] grown = [.. contents];
        grown.AsSpan((int)Hole, (int)(HoleLength + Page)).Clear();
        return grown;
    }

    private static void AssertGrown(ServedClient it, ulong at, byte[] contents) => AssertHolds(it, at, Grown(contents));

    private static void AssertHolds(ServedClient it, ulong at, ReadOnlySpan<byte> contents)
    {
        for (int page = 0; page < contents.Length; page += (int)Page)
        {
            // Random pages: the first byte may be zero by chance, not sixteen.
            for (int index = page; index < page + 16; index++)
                Assert.Equal(contents[index], it.Client.ReadByte(at + (ulong)index));
        }
    }
}
