using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tests.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Pitfalls;

/// <summary>
/// A protected page is written and given back at once. Is it there when the fault of the write is served? The kernel does not say, and may decide otherwise a moment later. Whatever it was: both threads go on, what is
/// read afterwards is what was written or nothing, and no list or snapshot is told a lie.
/// </summary>
public sealed class WriteAgainstRemovalTests : HaltedSnapshotTest
{
    private const byte Written = 2;
    private const UffdFeatures WithMarks = UffdFeatures.EventRemove | UffdFeatures.PagefaultFlagWp | UffdFeatures.WpUnpopulated | UffdFeatures.WpHugetlbfsShmem;

    public static TheoryData<string, UffdFeatures, RegionFlags, bool> Races
    {
        get
        {
            TheoryData<string, UffdFeatures, RegionFlags, bool> rows = [];
            foreach (string kind in (string[])["anon", "hugetlb"])
            {
                foreach (UffdFeatures features in (UffdFeatures[])[UffdFeatures.EventRemove, WithMarks])
                {
                    foreach (RegionFlags flags in (RegionFlags[])[RegionFlags.None, RegionFlags.RemoveMeansSource])
                    {
                        rows.Add(kind, features, flags, true);
                        rows.Add(kind, features, flags, false);
                    }
                }
            }

            return rows;
        }
    }

    /// <remarks>
    /// <code>
    /// loop (stands still)                 thread 1                     thread 2
    ///                                     writes: fault
    ///                                                                  madvise: event   (or the other way round)
    /// reads both at once: the page is gone in the table,
    /// EAGAIN for the fault
    ///                                                                  the page goes
    /// tries again
    /// </code>
    /// </remarks>
    [SkippableTheory]
    [MemberData(nameof(Races))]
    public void Write_fault_and_removal_that_are_read_together_leave_what_was_written_or_nothing(string kind, UffdFeatures features, RegionFlags flags, bool isWrittenFirst)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(4) : null;
        (ServedClient it, ulong at, ulong pageBytes, ScriptedSource source) = Tracked(kind, features, flags);
        (PendingReply write, PendingReply given) = Race(it, at, pageBytes, isWrittenFirst);
        write.AwaitValue();
        given.AwaitValue();
        AssertWrittenOrGone(it, at, flags == RegionFlags.None ? (byte)0 : source.ByteOf(0));
        Assert.Equal((0L, 0L), Waiting(it));

        // It was told of, and is watched again.
        DirtyRun changed = new(at, pageBytes, pageBytes);
        Assert.Equal([changed], List(it));
        Assert.Empty(List(it));
        it.Client.WriteByte(at + 1, 9);
        Assert.Equal([changed], List(it));
        Assert.Equal((ulong)source.ByteOf((long)pageBytes), it.Client.Run($"read {at + pageBytes}"));
        it.Client.Kill();
    }

    /// <remarks>
    /// <code>
    /// loop                                thread 1                     thread 2
    ///                                                                  madvise: event, sleeps
    /// reads it: gone in the table
    ///                                     writes: the page is there
    ///                                     and protected, fault
    /// lifts the protection
    ///                                     goes on
    ///                                                                  the page goes
    /// </code>
    /// The kernel lets nobody halt thread 2 between the two, so the event is the test's, and the userfaultfd tells of none.
    /// </remarks>
    [SkippableTheory]
    [InlineData("anon", RegionFlags.None)]
    [InlineData("anon", RegionFlags.RemoveMeansSource)]
    [InlineData("hugetlb", RegionFlags.None)]
    [InlineData("hugetlb", RegionFlags.RemoveMeansSource)]
    public void Write_fault_on_a_page_whose_removal_is_known_and_yet_to_come_goes_on_and_the_page_goes(string kind, RegionFlags flags)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(4) : null;
        (ServedClient it, ulong at, ulong pageBytes, ScriptedSource source) = Tracked(kind, UffdFeatures.None, flags);
        using (new HeldLoop(it.Session, () =>
        {
            UffdMessage removal = new() { Event = UffdEventKind.Remove, Start = at, End = at + pageBytes };
            it.Session.Loop.ApplyEvent(it.Session, ref removal);
        }))
        {
        }

        it.Client.WriteByte(at, 2);
        Assert.Equal((ulong)source.ByteOf(0), it.Client.Run($"read {at + 1}"));
        it.Client.Run($"madvise {at} {pageBytes} 4");
        byte rest = flags == RegionFlags.None ? (byte)0 : source.ByteOf(0);
        Assert.True(it.Client.IsFilledWith(at, Page, rest));
        DirtyRun changed = new(at, pageBytes, pageBytes);
        Assert.Equal([changed], List(it));
        Assert.Empty(List(it));
        it.Client.WriteByte(at, 3);
        Assert.Equal([changed], List(it));
        it.Client.Kill();
    }

    [SkippableTheory]
    [InlineData("anon", true)]
    [InlineData("anon", false)]
    [InlineData("hugetlb", true)]
    [InlineData("hugetlb", false)]
    public void Write_fault_and_removal_of_a_page_that_a_snapshot_still_needs_end_it(string kind, bool isWrittenFirst)
    {
        using HugePages? pool = kind == "hugetlb" ? HugePages.AtLeast(4) : null;
        (ServedClient it, ulong at, ulong pageBytes, _) = Filled(kind, UffdFeatures.EventRemove, RegionFlags.None);

        // At the instant itself: that anything has been read is only noted in a later turn, behind what the client did.
        (RunningSnapshot snapshot, HeldLoop taken) = BeginHeldAt(it, () => it.Session.Snapshot is { TakenAt: not 0 });
        PendingReply write;
        PendingReply given;
        using (taken)
        {
            taken.Await();
            (write, given) = BeginBoth(it, at, pageBytes, isWrittenFirst);
        }

        write.AwaitValue();
        given.AwaitValue();
        AssertFailed(snapshot.Report(), Errno.ECANCELED, "gave back");
        AssertWrittenOrGone(it, at, 0);
        Assert.Equal((0L, 0L), Waiting(it));
        it.Client.Run($"fill {at} {pageBytes} 5");
        byte[] image = Take(it);
        Assert.False(image.AsSpan(0, (int)pageBytes).ContainsAnyExcept((byte)5));
        it.Client.Kill();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Write_fault_and_removal_of_a_page_that_a_snapshot_has_read_leave_it_as_it_was(bool isWrittenFirst)
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Empty(List(it));
        RunningSnapshot snapshot = Halt(it);

        // Read in its turn, and protected still, for the next list.
        Eventually.True(() => it.Session.Snapshot!.ReadBelow > at, "the first page to be let go");
        (PendingReply write, PendingReply given) = Race(it, at, Page, isWrittenFirst);
        write.AwaitValue();
        given.AwaitValue();
        AssertWrittenOrGone(it, at, 0);
        Assert.Equal((0L, 0L), Waiting(it));
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);
        Assert.Equal([new DirtyRun(at, Page, Page)], List(it));
    }

    private (ServedClient It, ulong At, ulong PageBytes, ScriptedSource Source) Tracked(string kind, UffdFeatures features, RegionFlags flags)
    {
        (ServedClient It, ulong At, ulong PageBytes, ScriptedSource Source) filled = Filled(kind, features, flags);
        Assert.Null(Engine.StartTrackingAsync(filled.It.Session).Finish().Error);
        Assert.Empty(List(filled.It));
        return filled;
    }

    private (ServedClient It, ulong At, ulong PageBytes, ScriptedSource Source) Filled(string kind, UffdFeatures features, RegionFlags flags)
    {
        ulong pageBytes = kind == "hugetlb" ? HugePages.PageSize : Page;
        ScriptedSource source = Scripted(2 * pageBytes);
        source.InMemory = true;
        ServedClient it = ServeStock(features);
        (ulong at, _) = it.Client.Map(kind, 2 * pageBytes);
        it.Register(at, 2 * pageBytes, source, flags: flags);
        it.Client.Run($"touch {at} {2 * pageBytes}");
        return (it, at, pageBytes, source);
    }

    // Both are in the userfaultfd before the loop reads it.
    private static (PendingReply Write, PendingReply Given) Race(ServedClient it, ulong page, ulong pageBytes, bool isWrittenFirst)
    {
        using HeldLoop held = new(it.Session);
        return BeginBoth(it, page, pageBytes, isWrittenFirst);
    }

    private static (PendingReply Write, PendingReply Given) BeginBoth(ServedClient it, ulong page, ulong pageBytes, bool isWrittenFirst)
    {
        PendingReply? write = isWrittenFirst ? BeginWrite(it, page) : null;
        PendingReply given = it.Client.Begin($"madvise {page} {pageBytes} 4", 2);
        using (FdLease lease = it.Session.Uffd.Lease())
            Eventually.True(() => Userfaultfd.IsChanging(lease), "the removal");
        return (write ?? BeginWrite(it, page), given);
    }

    private static PendingReply BeginWrite(ServedClient it, ulong page)
    {
        PendingReply write = it.Client.Begin($"write {page} {Written}", 1);
        Eventually.True(() => UffdFdInfoReader.Read(it.Session.Uffd).Pending == 1, "the writer's fault");
        return write;
    }

    // The write came before the page went, and went with it, or afterwards; what was around it is gone.
    private static void AssertWrittenOrGone(ServedClient it, ulong at, byte rest)
    {
        Assert.Contains(it.Client.ReadByte(at), new[] { Written, rest });
        Assert.Equal(0UL, it.Client.Run($"differ {at + 1} {Page - 1} {rest}"));
    }

    private static (long Pending, long Total) Waiting(ServedClient it)
    {
        UffdFdInfo info = UffdFdInfoReader.Read(it.Session.Uffd);
        return (info.Pending, info.Total);
    }

    private static IReadOnlyList<DirtyRun> List(ServedClient it)
    {
        DirtyPages dirty = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish();
        Assert.Null(dirty.Error);
        Assert.Null(dirty.Next);
        return dirty.Runs;
    }
}
