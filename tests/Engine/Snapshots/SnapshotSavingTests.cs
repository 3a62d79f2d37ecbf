using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Pages that the fault loop saves itself, in the fault of their writer.</summary>
public sealed class SnapshotSavingTests : HaltedSnapshotTest
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Writers_wait_for_nobody_else_while_there_is_memory(bool isTracked)
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        if (isTracked)
        {
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
            _ = FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: true).Finish();
        }

        // Disk and reader stand still.
        RunningSnapshot snapshot = Halt(it);
        for (ulong page = 0; page < 10; page++)
            it.Client.Run($"fill {at + ((Unsaved + (2 * page)) * Page)} {Page} 2");
        Engine.PingAsync().Finish();
        Assert.Equal(0, Held);
        Assert.Equal(10, snapshot.Progress.SavedPages);
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);
        if (isTracked)
        {
            Assert.Equal(
                Enumerable.Range(0, 10).Select(page => at + ((Unsaved + (2 * (ulong)page)) * Page)),
                FaultEngine.DirtyPagesAsync(it.Session, 0, 20, reset: false).Finish().Runs.Select(run => run.Start));
        }

        Assert.True(it.Client.IsFilledWith(at + (Unsaved * Page), Page, 2));
    }

    [Fact]
    public void Faults_of_a_snapshot_are_not_the_tenants()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { FaultsPerSecond = 1 });
        ServedClient it = ServeStock();
        (ulong at, _) = it.Client.Map("anon", Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        it.Register(at, Pages * Page);
        RunningSnapshot snapshot = Halt(it);
        for (ulong page = 0; page < 10; page++)
            it.Client.Run($"fill {at + ((Unsaved + (2 * page)) * Page)} {Page} 2");
        Assert.Equal(0, CountersOf(Alice).Deferrals(DeferralReason.Throttled));
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);
    }

    [Fact]
    public void More_writers_than_there_is_memory_for_wait_and_nothing_is_lost()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        PendingReply writer = it.Client.Begin($"fill {at + (Unsaved * Page)} {Unsaved * Page} 2", 1);
        Eventually.True(() => Held > 0, "a writer to wait");
        ReleaseBases();
        writer.Await();
        AssertFilled(snapshot.Finish(), 1);
        Assert.True(it.Client.IsFilledWith(at + (Unsaved * Page), Unsaved * Page, 2));
    }

    [Fact]
    public void Page_that_the_reader_has_claimed_is_the_readers()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        ulong page = at + (Unsaved * Page);
        Snapshot state = it.Session.Snapshot!;
        FrozenRegion region = state.Regions.Find(page)!;

        // As if it were reading the page.
        Assert.True(state.Claims.TryClaim(region, page));
        PendingReply write = it.Client.Begin($"write {page} 2", 1);
        Eventually.True(() => Held == 1, "the writer to wait");
        Assert.False(write.IsCompleted);
        Assert.Equal(0, snapshot.Progress.SavedPages);
        it.Session.Loop.Post(new ReleasePageCommand(state, region, page));
        write.Await();
        ReleaseBases();
        Assert.Null(snapshot.Report().Error);
    }

    [Fact]
    public void Page_is_claimed_once_whatever_its_size()
    {
        using PageClaims claims = new(64);
        FrozenRegion small = new(0, 32 * Page, Page, 0, default, false, false);
        FrozenRegion large = new(32 * Page, 64 * Page, 8 * Page, 32, default, false, false);
        Assert.True(claims.TryClaim(small, 3 * Page));
        Assert.False(claims.TryClaim(small, 3 * Page));
        Assert.Equal(3 * Page, claims.ClaimUpTo(small, 0, 8 * Page));
        Assert.Equal(3 * Page, claims.ClaimUpTo(small, 3 * Page, 8 * Page));
        Assert.Equal(4 * Page, claims.EndOfRun(small, 0, 32 * Page, out bool isClaimed));
        Assert.True(isClaimed);
        Assert.Equal(32 * Page, claims.EndOfRun(small, 4 * Page, 32 * Page, out isClaimed));
        Assert.False(isClaimed);
        Assert.True(claims.TryClaim(large, 40 * Page));
        Assert.Equal(40 * Page, claims.EndOfRun(large, 32 * Page, 64 * Page, out isClaimed));
        Assert.Equal(48 * Page, claims.EndOfRun(large, 40 * Page, 64 * Page, out isClaimed));
        Assert.Equal(40 * Page, claims.ClaimUpTo(large, 32 * Page, 64 * Page));
    }

    [Fact]
    public void Page_that_is_saved_before_the_reader_looks_is_not_lost()
    {
        // The reader asks for what there is when the loop has saved all of it: it has nothing to read, and comes to its end at once.
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(Page);
        it.Client.Run($"fill {at} {Page} 1");
        (RunningSnapshot running, HeldLoop taken) = BeginHeldAt(it, () => it.Session.Snapshot is { TakenAt: not 0 });
        PendingReply write;
        using (taken)
        {
            taken.Await();
            write = it.BeginToTell($"write {at} 2");
        }

        write.Await();
        Assert.Equal(0, Held);
        Assert.Equal(1, running.Progress.SavedPages);
        Assert.False(running.Finish().AsSpan().ContainsAnyExcept((byte)1));
        Assert.Equal(2, it.Client.ReadByte(at));
    }

    [Fact]
    public void Page_that_is_saved_while_the_client_changes_its_memory_is_let_go_when_that_is_over()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        ulong untouched = it.MapRegistered(Page);
        ulong page = at + (Unsaved * Page);
        bool isServed = false;
        bool isHeldThen = false;
        PendingReply given;
        HeldLoop held = new(it.Session, () =>
        {
            Region region = it.Session.Regions.Find(page)!;
            FaultContext fault = new(
                it.Session, region, page, UffdFaultFlags.Write | UffdFaultFlags.WriteProtect, FaultKind.WriteProtect, it.Session.Pages.Get(page), MonotonicClock.NowNanoseconds, 0, 0);
            isServed = it.Session.Loop.ServeForSnapshot(in fault);
            isHeldThen = it.Session.Snapshot!.Holds(page);
        });
        using (held)
            given = it.BeginToTell($"madvise {untouched} {Page} 4", thread: 2);

        given.Await();
        Assert.True(isServed);
        Assert.True(isHeldThen);
        Assert.Equal(1, Held);
        Assert.Equal(1, snapshot.Progress.SavedPages);

        // Disk and reader still hang.
        it.Client.Run($"fill {page} {Page} 2");
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);
    }

    [Fact]
    public void Page_that_was_mapped_over_before_it_is_saved_ends_it()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        ulong page = at + (Unsaved * Page);
        PendingReply write;
        using (new HeldLoop(it.Session))
        {
            write = it.BeginToTell($"write {page} 2");
            it.Client.Run($"mapfixed {page} {Page}", 2);
            it.Client.Run($"fill {page} {Page} 9", 2);
        }

        AssertEnded(snapshot, Errno.ECANCELED, "does not tell");
        write.Await();
        Assert.Equal(2, it.Client.ReadByte(page));
        Assert.Equal(9, it.Client.ReadByte(page + 1));
    }

    [Fact]
    public void Writer_who_waits_is_not_lost_sight_of_for_another_who_is_let_go()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock(), stallLimit: TimeSpan.FromMilliseconds(200));
        ulong waits = at + (Unsaved * Page);
        Snapshot state = it.Session.Snapshot!;
        FrozenRegion region = state.Regions.Find(waits)!;

        // As if the reader had saved the second, and could not save the first.
        Assert.True(state.Claims.TryClaim(region, waits));
        Assert.True(state.Claims.TryClaim(region, waits + Page));
        using (new HeldLoop(it.Session, () =>
        {
            long now = MonotonicClock.NowNanoseconds;
            state.Hold(waits, now);
            state.Hold(waits + Page, now);
            state.NoteRead(region, waits + Page, now);
        }))
        {
        }

        Eventually.True(() => state.Failure is not null, "the snapshot to be given up");
        AssertEnded(snapshot, Errno.ETIMEDOUT, "writers waited");
    }

    [Fact]
    public void Without_the_clients_memory_nothing_is_saved_here()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        Snapshot state = it.Session.Snapshot!;
        ulong page = at + (Unsaved * Page);
        using PageSaver saver = new(16, null);
        Assert.False(saver.TrySave(state, state.Regions.Find(page)!, page));
        Assert.True(state.Claims.TryClaim(state.Regions.Find(page)!, page));
        Assert.True(saver.IsEmpty);
        ReleaseBases();
        Assert.Null(snapshot.Report().Error);
    }
}
