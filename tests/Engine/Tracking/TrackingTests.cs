using UffdManager.Engine.Regions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Tracking;

/// <summary>Which pages change: what is listed is what the client wrote, no more and no less.</summary>
public sealed class TrackingTests : EngineTest
{
    private long Unprotected => CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Unprotected);

    [SkippableTheory]
    [InlineData(UffdFeatures.EventRemove)]
    [InlineData(UffdFeatures.None)]
    [InlineData(UffdFeatures.EventRemove | UffdFeatures.WpAsync | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated)]
    public void Listed_pages_are_those_that_a_client_of_any_features_wrote(UffdFeatures features)
    {
        const ulong Pages = 700;
        ServedClient it = ServeStock(features);
        ulong at = it.MapRegistered(Pages * Page, Scripted(Pages * Page));
        it.Client.Run($"touch {at} {300 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Empty(List(it));
        Assert.True((it.Regions()[0].Modes & UffdRegisterModes.WriteProtect) != 0);
        Random random = new(7);
        SortedSet<ulong> written = [];
        for (int round = 0; round < 4; round++)
        {
            // Some are there, some are missing, some were written before; to read one changes nothing.
            for (int i = 0; i < 60; i++)
            {
                ulong page = at + ((ulong)random.Next((int)Pages) * Page);
                if (i % 3 == 0)
                    it.Client.ReadByte(page);
                else if (written.Add(page) || i % 2 == 0)
                    it.Client.WriteByte(page + (ulong)random.Next((int)Page), (byte)round);
            }

            Assert.Equal(written, List(it));
            Assert.Equal(written, List(it, reset: true));
            written.Clear();
            Assert.Empty(List(it));
        }
    }

    [SkippableFact]
    public void Huge_pages_are_listed_whole()
    {
        const ulong Huge = HugePages.PageSize;
        using HugePages pool = HugePages.AtLeast(4);
        ServedClient it = ServeStock(UffdFeatures.EventRemove);
        (ulong at, _) = it.Client.Map("hugetlb", 4 * Huge);
        it.Register(at, 4 * Huge, Scripted(4 * Huge));
        it.Client.ReadByte(at);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.ReadByte(at + Huge);
        it.Client.WriteByte(at + Page, 1);
        it.Client.WriteByte(at + (3 * Huge) - 1, 1);
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: true).Finish();
        Assert.Equal([new DirtyRun(at, Huge, Huge), new DirtyRun(at + (2 * Huge), Huge, Huge)], dirty.Runs);
        it.Client.WriteByte(at + Huge, 1);
        Assert.Equal([new DirtyRun(at + Huge, Huge, Huge)], FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: false).Finish().Runs);
    }

    [SkippableTheory]
    [InlineData(256, 512, new[] { 0, 1 })]
    [InlineData(1, 1, new[] { 0 })]
    [InlineData(0, 768, new[] { 0, 1 })]
    [InlineData(512, 512, new[] { 1 })]
    public void Huge_pages_that_are_emptied_in_part_have_changed(int first, int count, int[] pages)
    {
        const ulong Huge = HugePages.PageSize;
        using HugePages pool = HugePages.AtLeast(4);
        ServedClient it = ServeStock(UffdFeatures.EventRemove);
        (ulong at, _) = it.Client.Map("hugetlb-memfd-shared", 4 * Huge);
        it.Register(at, 4 * Huge);
        it.Client.Run($"fill {at} {4 * Huge} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        ulong from = at + ((ulong)first * Page);
        ulong length = (ulong)count * Page;
        it.Client.Run($"madvise {from} {length} 9");
        Assert.True(it.Client.IsFilledWith(from, length, 0));
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: true).Finish();
        Assert.Equal(pages, dirty.Runs.SelectMany(run => Enumerable.Range((int)((run.Start - at) / Huge), (int)(run.Length / Huge))));
    }

    [Fact]
    public void Pages_that_were_given_back_have_changed_and_stay_so_when_they_are_filled()
    {
        ServedClient it = ServeStock(UffdFeatures.EventRemove);
        ulong at = it.MapRegistered(16 * Page, Scripted(16 * Page));
        it.Client.Run($"touch {at} {8 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Run($"madvise {at + (2 * Page)} {2 * Page} 4");
        Eventually.True(() => List(it).Count == 2, "the pages to be noted");
        it.AssertZero(at + (2 * Page), 2 * Page);
        Assert.Equal([at + (2 * Page), at + (3 * Page)], List(it, reset: true));
        it.Client.WriteByte(at + (2 * Page), 5);
        Assert.Equal([at + (2 * Page)], List(it));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Pages_that_are_read_ahead_report_their_first_write(bool inMemory)
    {
        ScriptedSource source = Scripted(64 * Page);
        source.InMemory = inMemory;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16384 });
        ulong at = it.MapRegistered(64 * Page, source);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);

        // The write brings three neighbours along, which nobody has written.
        it.Client.WriteByte(at, 1);
        it.Client.ReadByte(at + (8 * Page));
        Assert.Equal(8 * Page, Engine.PrefetchAsync(it.Session, at + (16 * Page), 8 * Page).Finish().Value);
        Assert.Equal([at], List(it));
        it.Client.WriteByte(at + Page, 1);
        it.Client.WriteByte(at + (9 * Page), 1);
        it.Client.WriteByte(at + (17 * Page), 1);
        Assert.Equal([at, at + Page, at + (9 * Page), at + (17 * Page)], List(it));
    }

    [Fact]
    public void Zeros_that_are_prefetched_report_their_first_write()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(64 * Page);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Equal(64 * Page, Engine.PrefetchAsync(it.Session, at, 64 * Page).Finish().Value);
        Assert.Empty(List(it));
        it.Client.WriteByte(at + (63 * Page), 1);
        Assert.Equal([at + (63 * Page)], List(it));
    }

    [Fact]
    public void Memory_that_was_there_before_it_was_registered_is_tracked_too()
    {
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        it.Client.Run($"fill {at} {4 * Page} 9");
        it.Register(at, 8 * Page);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at + Page, 1);
        it.Client.WriteByte(at + (6 * Page), 1);
        Assert.Equal([at + Page, at + (6 * Page)], List(it));
    }

    [Theory]
    [InlineData("anon-shared")]
    [InlineData("memfd-shared")]
    [InlineData("memfd-private")]
    public void Shared_memory_and_private_files_are_tracked(string kind)
    {
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map(kind, 8 * Page);
        it.Register(at, 8 * Page);
        it.Client.WriteByte(at, 1);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.ReadByte(at + Page);
        Assert.Empty(List(it));
        it.Client.WriteByte(at, 2);
        it.Client.WriteByte(at + (7 * Page), 2);
        Assert.Equal([at, at + (7 * Page)], List(it));
    }

    [Fact]
    public void Range_that_is_registered_meanwhile_is_new_as_a_whole()
    {
        ServedClient it = Serve(policy: Zero);
        ulong first = it.MapRegistered(4 * Page);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        (ulong at, _) = it.Client.Map("anon", 4 * Page);
        it.Client.WriteByte(at, 3);
        it.Register(at, 4 * Page);
        Assert.Equal(4, List(it, reset: true).Count);
        it.Client.WriteByte(at, 4);
        it.Client.ReadByte(at + Page);
        it.Client.WriteByte(first, 1);
        Assert.Equal(new SortedSet<ulong> { at, first }, List(it));
    }

    [Fact]
    public void Memory_that_moved_has_changed_where_it_is()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at + Page, 2);
        ulong to = it.Client.Run($"mremap {at} {8 * Page} {16 * Page}");
        it.Client.WriteByte(to + (2 * Page), 2);
        Eventually.True(() => List(it).Count == 8, "the event to be taken in");
        Assert.Equal(Enumerable.Range(0, 8).Select(page => to + ((ulong)page * Page)), List(it, reset: true));
        Assert.Empty(List(it));
        it.Client.WriteByte(to + Page, 3);
        Assert.Equal([to + Page], List(it));
        Assert.True(it.Client.IsFilledWith(to + (3 * Page), 5 * Page, 1));
    }

    [Fact]
    public void Stopped_tracking_reports_nothing_and_can_begin_again()
    {
        ServedClient it = ServeStock(UffdFeatures.EventRemove);
        ulong at = it.MapRegistered(64 * Page, Scripted(64 * Page));
        it.Client.Run($"touch {at} {64 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Equal(Errno.EALREADY, Engine.StartTrackingAsync(it.Session).Finish().Error!.Errno);
        it.Client.WriteByte(at, 1);
        TrackingStatus status = FaultEngine.TrackingAsync(it.Session).Finish()!;
        Assert.Equal((false, 64 * Page, 0UL), (status.IsAsynchronous, status.TrackedBytes, status.UntrackedBytes));
        Assert.Null(FaultEngine.StopTrackingAsync(it.Session).Finish().Error);
        long faults = Unprotected;
        it.Client.Run($"fill {at} {64 * Page} 2");
        Assert.Equal(faults, Unprotected);
        Assert.Null(FaultEngine.TrackingAsync(it.Session).Finish());
        Assert.Equal(Errno.ENOENT, FaultEngine.DirtyPagesAsync(it.Session, 0, 1, reset: false).Finish().Error!.Errno);
        Assert.Equal(Errno.ENOENT, FaultEngine.StopTrackingAsync(it.Session).Finish().Error!.Errno);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Empty(List(it));
        it.Client.WriteByte(at + Page, 1);
        Assert.Equal([at + Page], List(it));
    }

    [Fact]
    public void Protection_that_the_client_asked_for_outlives_the_tracking()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 4 * Page, protect: true).Finish().Error);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Null(FaultEngine.StopTrackingAsync(it.Session).Finish().Error);
        it.Client.Run($"fill {at} {8 * Page} 2");
        Assert.Equal(4, Unprotected);
    }

    [Fact]
    public void Writes_are_noted_where_the_client_lifts_its_own_protection()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 8 * Page, protect: true).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, at, 8 * Page, protect: false).Finish().Error);
        it.Client.WriteByte(at + (3 * Page), 2);
        Assert.Equal([at + (3 * Page)], List(it));
    }

    [Theory]
    [InlineData(RegionFlags.None)]
    [InlineData(RegionFlags.RemoveMeansSource)]
    public void Memory_that_went_without_an_event_has_changed_when_it_comes_back(RegionFlags flags)
    {
        ServedClient it = ServeStock(UffdFeatures.None);
        ulong at = it.MapRegistered(8 * Page, Scripted(8 * Page), flags: flags);
        it.Client.Run($"fill {at} {8 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Run($"madvise {at + (2 * Page)} {2 * Page} 4");
        it.Client.ReadByte(at + (2 * Page));
        Assert.Equal([at + (2 * Page)], List(it));
    }

    [Fact]
    public void List_from_the_middle_of_a_page_begins_with_that_page()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(8 * Page);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at + (2 * Page), 1);
        it.Client.WriteByte(at + (4 * Page), 1);
        DirtyPages pages = FaultEngine.DirtyPagesAsync(it.Session, at + (2 * Page) + 17, 10, reset: true).Finish();
        Assert.Null(pages.Error);
        Assert.Equal([at + (2 * Page), at + (4 * Page)], pages.Runs.Select(run => run.Start));
        Assert.Empty(List(it));
    }

    [Fact]
    public void Writes_after_lazy_freeing_are_noted()
    {
        ServedClient it = ServeStock(UffdFeatures.EventRemove);
        ulong at = it.MapRegistered(8 * Page, Scripted(8 * Page));
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at, 1);
        it.Client.Run($"madvise {at} {Page} 8");
        it.Client.WriteByte(at, 2);
        Assert.Equal([at], List(it, reset: true));
        it.Client.WriteByte(at, 3);
        Assert.Equal([at], List(it));
    }

    [Fact]
    public void Child_of_a_tracked_parent_is_not_tracked_and_writes_what_it_likes()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * Page);
        it.Client.Run($"fill {at} {4 * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Run("fork");
        ClientProcess child = Track(it.Client.AcceptChild());
        child.Run($"fill {at} {4 * Page} 2");
        Assert.Empty(List(it));
        it.Client.WriteByte(at, 3);
        Assert.Equal([at], List(it));
        Assert.True(child.IsFilledWith(at, 4 * Page, 2));
        Assert.True(it.Client.IsFilledWith(at + Page, 3 * Page, 1));
    }

    [Fact]
    public void Long_lists_come_in_parts()
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(1024 * Page);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        for (ulong page = 0; page < 1024; page += 2)
            it.Client.WriteByte(at + (page * Page), 1);
        List<DirtyRun> runs = [];
        ulong? from = 0;
        while (from is ulong next)
        {
            DirtyPages part = FaultEngine.DirtyPagesAsync(it.Session, next, 100, reset: true).Finish();
            Assert.Null(part.Error);
            Assert.True(part.Runs.Count <= 100);
            runs.AddRange(part.Runs);
            from = part.Next;
        }

        Assert.Equal(Enumerable.Range(0, 512).Select(i => new DirtyRun(at + ((ulong)i * 2 * Page), Page, Page)), runs);
        Assert.Empty(List(it));
    }

    [Fact]
    public void No_write_is_missed_while_lists_are_taken()
    {
        // Each write raises a counter in its page. Between two lists that name a page, and none in between does, its counter stands still.
        const int Pages = 64;
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 0");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        ulong[] known = Counters(it, at, Pages);
        PendingReply[] adders = [.. Enumerable.Range(1, 4).Select(t => it.Client.Begin($"march {at} {Pages} 200000 {t * 77}", t))];
        bool isLast;
        do
        {
            isLast = adders.All(adder => adder.IsCompleted);
            ulong[] before = Counters(it, at, Pages);
            SortedSet<ulong> listed = List(it, reset: true);
            ulong[] after = Counters(it, at, Pages);
            for (int i = 0; i < Pages; i++)
            {
                if (listed.Contains(at + ((ulong)i * Page)))
                    known[i] = after[i];
                else
                    Assert.True(known[i] == before[i], $"page {i} was written and not listed");
            }
        }
        while (!isLast);
        foreach (PendingReply adder in adders)
            adder.AwaitValue();
        Assert.Equal(4 * 200000, Counters(it, at, Pages).Sum(counter => (long)counter));
    }

    [Fact]
    public void Session_of_a_client_that_dies_says_so()
    {
        ServedClient it = Serve(policy: Zero);
        it.MapRegistered(4 * Page);
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.Kill();
        Eventually.True(() => it.Session.State == Sessions.SessionState.Ended, "the session to end");
        Assert.Equal(Errno.ESRCH, FaultEngine.DirtyPagesAsync(it.Session, 0, 1, reset: true).Finish().Error!.Errno);
        Assert.Equal(Errno.ESRCH, Engine.StartTrackingAsync(it.Session).Finish().Error!.Errno);
        Assert.Equal(Errno.ESRCH, FaultEngine.StopTrackingAsync(it.Session).Finish().Error!.Errno);
    }

    // As a virtual machine monitor hands it over: made, initialised and registered for missing pages by the client.
    private ServedClient ServeStock(UffdFeatures features)
    {
        Require.That((Engine.KernelFeatures & features) == features, $"this kernel's userfaultfd has not all of {features}");
        ClientProcess client = StartClient();
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        client.Run($"api {number} {(ulong)features}");
        AttachResult result = Attach(client, uffd, apiDone: true);
        Assert.Null(result.Error);
        return new ServedClient(Engine, client, result.Session!, number);
    }

    private static ulong[] Counters(ServedClient it, ulong at, int pages) =>
        [.. Enumerable.Range(0, pages).Select(i => it.Client.Run($"peek {at + ((ulong)i * Page)}"))];

    private static SortedSet<ulong> List(ServedClient it, bool reset = false)
    {
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 10_000, reset).Finish();
        Assert.Null(dirty.Error);
        Assert.Null(dirty.Next);
        SortedSet<ulong> pages = [];
        foreach (DirtyRun run in dirty.Runs)
        {
            for (ulong page = run.Start; page < run.Start + run.Length; page += Page)
                Assert.True(pages.Add(page));
        }

        return pages;
    }
}
