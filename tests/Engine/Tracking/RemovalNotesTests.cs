using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Lists that come between the event of a removal and the removal.</summary>
/// <remarks>
/// <code>
/// program                         loop                          operator
/// madvise: the event
///                                 reads it: given back, noted
/// goes on (no change is under
/// way any more)                                                 list --reset: finds the page
/// takes the page away
/// </code>
/// What the program's thread does by itself cannot be held there. So the event is told here, and nothing follows, which looks the same to the loop; the first test has a removal so long
/// that its end is met.
/// </remarks>
public sealed class RemovalNotesTests : SnapshotTest
{
    private const int Attempts = 20;

    [Fact]
    public void Pages_that_a_list_finds_before_they_go_are_on_the_next_one()
    {
        const ulong Length = 64 << 20;
        const ulong Last = 16 * Page;
        ServedClient it = ServeStock();
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        bool isMet = false;
        for (int attempt = 0; attempt < Attempts && !isMet; attempt++)
        {
            (ulong at, _) = it.Client.Map("anon", Length);
            ulong last = at + Length - Last;
            DirtyRun[] gone = [new(last, Last, Page)];

            // Huge pages would be gone in a moment.
            it.Client.Run($"madvise {at} {Length} 15");
            it.Client.Run($"fill {at} {Length} 1");
            it.Register(at, Length);
            Eventually.True(() => List(it).Count == 0, "the new range to be old");
            Task<DirtyPages> list;
            PendingReply removal;
            using (new HeldLoop(it.Session))
            {
                removal = it.Client.Begin($"madvise {at} {Length} 4", thread: 1);
                using FdLease uffd = it.Session.Uffd.Lease();
                Assert.True(FdPoll.WaitReadable(uffd, Eventually.DefaultDeadline), "the event of the removal does not come");
                list = FaultEngine.DirtyPagesAsync(it.Session, last, 100, reset: true);
            }

            Assert.Equal(gone, list.Finish().Runs);
            PageState state = default;
            new HeldLoop(it.Session, () => state = it.Session.Pages.Get(last)).Dispose();
            isMet = (state & PageState.StateMask) == PageState.Present;
            removal.AwaitValue();
            it.AssertZero(last, Last);
            Assert.Equal(isMet, List(it, last).SequenceEqual(gone));
            Assert.Empty(List(it, last));
            it.Client.Run($"munmap {at} {Length}");
        }

        Assert.True(isMet, "no list came before the end of a removal");
    }

    [Theory]
    [InlineData(RegionFlags.None)]
    [InlineData(RegionFlags.RemoveMeansSource)]
    public void Page_whose_removal_is_still_to_come_is_told_once_more(RegionFlags flags)
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, Scripted(8 * Page), flags: flags);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at + (6 * Page), 2);
        Assert.Equal([new DirtyRun(at + (6 * Page), Page, Page)], List(it));
        AssertTwice(it, (at + (2 * Page), at + (4 * Page)), RecentRemovals.Span, new DirtyRun(at + (2 * Page), 2 * Page, Page));
        Assert.Empty(List(it));
        Assert.True(it.Client.IsFilledWith(at, 6 * Page, 1));
        Assert.Empty(List(it));
    }

    [Fact]
    public void Pages_that_are_gone_when_they_are_told_are_told_once()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, Scripted(8 * Page));
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Run($"madvise {at} {3 * Page} 4");
        it.Client.WriteByte(at + Page, 1);
        Assert.Equal([new DirtyRun(at, 3 * Page, Page)], List(it));
        Assert.Empty(List(it));
    }

    [SkippableFact]
    public void Huge_page_whose_edge_is_still_to_be_emptied_is_told_once_more()
    {
        const ulong Huge = HugePages.PageSize;
        using HugePages pool = HugePages.AtLeast(2);
        ServedClient it = ServeStock();
        (ulong at, _) = it.Client.Map("hugetlb-memfd-shared", 2 * Huge);
        it.Register(at, 2 * Huge);
        it.Client.Run($"fill {at} {2 * Huge} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        AssertTwice(it, (at, at + Page), RecentRemovals.Second, new DirtyRun(at, Huge, Huge));
        Eventually.True(() => List(it).Count == 0, "the removal to be long ago");
    }

    [Fact]
    public void Shared_memory_that_may_still_lose_its_protection_is_told_and_protected_once_more()
    {
        ServedClient it = ServeStock();
        (ulong at, _) = it.Client.Map("memfd-shared", 8 * Page);
        it.Register(at, 8 * Page);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        AssertTwice(it, (at + (2 * Page), at + (4 * Page)), RecentRemovals.Second, new DirtyRun(at + (2 * Page), 2 * Page, Page));
        Eventually.True(() => List(it).Count == 0, "the removal to be long ago");
        it.Client.WriteByte(at + (2 * Page), 2);
        Assert.Equal([new DirtyRun(at + (2 * Page), Page, Page)], List(it));
    }

    [Fact]
    public void Removal_that_is_still_to_come_when_tracking_begins_is_a_change()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, Scripted(8 * Page));
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.True(
            IsSoon(() => Tell(it, at + (2 * Page), at + (4 * Page)), RecentRemovals.Span, () =>
            {
                Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
                IReadOnlyList<DirtyRun> runs = List(it);
                Assert.Null(FaultEngine.StopTrackingAsync(it.Session).Finish().Error);
                return runs.SequenceEqual([new DirtyRun(at + (2 * Page), 2 * Page, Page)]);
            }),
            "the pages are not listed");
    }

    [Fact]
    public void Successor_does_not_wipe_what_its_predecessor_was_told_a_moment_ago()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, RandomFile(8 * (long)Page, 1, out _));
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        DirtyRun[] wanted = [new(at + (2 * Page), 2 * Page, Page)];
        Assert.True(
            IsSoon(() => Tell(it, at + (2 * Page), at + (4 * Page)), RecentRemovals.Span, () =>
            {
                it = Again(it, Restart());
                return List(it).SequenceEqual(wanted) && List(it).SequenceEqual(wanted);
            }),
            "the pages are not on both lists");
        Assert.Empty(List(it));
    }

    [Fact]
    public void Removals_in_more_places_than_there_is_room_for_are_all_remembered_and_forgotten_in_time()
    {
        const long Now = 100 * RecentRemovals.Second;
        RecentRemovals removals = new();
        for (ulong i = 0; i < 1000; i++)
            removals.Add(i * 16 * Page, ((i * 16) + 1) * Page, Now + ((long)i * 8_000_000));
        for (ulong i = 0; i < 1000; i++)
        {
            ulong start = i * 16 * Page;
            long told = Now + ((long)i * 8_000_000);
            foreach (long age in (long[])[RecentRemovals.Second, RecentRemovals.Span])
            {
                Assert.True(removals.TryFind(start, start + Page, told + age, age, out ulong from, out ulong to), $"{i}");
                Assert.Equal((start, start + Page), (from, to));
                Assert.False(removals.TryFind(start, start + Page, Now + (9 * RecentRemovals.Second) + age, age, out _, out _), $"{i}");
            }
        }

        // Whatever follows, elsewhere or in the midst of them.
        removals.Add(0, 1000 * 16 * Page, Now + (2 * RecentRemovals.Span));
        Assert.False(removals.TryFind(0, ulong.MaxValue, Now + (4 * RecentRemovals.Span), RecentRemovals.Span, out _, out _));
    }

    // Two lists with a reset in a moment that is short enough, however busy the machine is.
    private static void AssertTwice(ServedClient it, (ulong Start, ulong End) removal, long within, DirtyRun wanted) =>
        Assert.True(
            IsSoon(() => Tell(it, removal.Start, removal.End), within, () => List(it).SequenceEqual([wanted]) && List(it).SequenceEqual([wanted])),
            "the pages are not on both lists");

    // What holds while a removal counts as recent. An attempt that took longer says nothing.
    private static bool IsSoon(Action begin, long within, Func<bool> holds)
    {
        for (int i = 0; i < Attempts; i++)
        {
            long began = MonotonicClock.NowNanoseconds;
            begin();
            bool held = holds();
            if (MonotonicClock.NowNanoseconds - began < within)
                return held;
        }

        return false;
    }

    // The event of a madvise of which the client's thread does not get to the end.
    private static void Tell(ServedClient it, ulong start, ulong end)
    {
        using HeldLoop told = new(it.Session, () =>
        {
            UffdMessage message = new() { Event = UffdEventKind.Remove, Start = start, End = end };
            it.Session.Loop.ApplyEvent(it.Session, ref message);
        });
    }

    private static IReadOnlyList<DirtyRun> List(ServedClient it, ulong from = 0)
    {
        DirtyPages pages = FaultEngine.DirtyPagesAsync(it.Session, from, 100, reset: true).Finish();
        Assert.Null(pages.Error);
        return pages.Runs;
    }
}
