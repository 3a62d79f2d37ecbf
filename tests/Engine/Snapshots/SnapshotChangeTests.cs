using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>Clients that change their address space or their protection while a snapshot is taken, or have done so before without an event.</summary>
public sealed class SnapshotChangeTests : HaltedSnapshotTest
{
    // So many runs that the reader asks for them more than once: what becomes of this page it hears after the page was saved.
    private const ulong Late = Unsaved + 600;

    [Theory]
    [InlineData(RegionFlags.None, "madvise {0} 4096 4")]
    [InlineData(RegionFlags.RemoveMeansSource, "madvise {0} 4096 4")]
    [InlineData(RegionFlags.None, "munmap {0} 4096")]
    [InlineData(RegionFlags.RemoveMeansSource, "munmap {0} 4096")]
    public void Page_that_was_saved_out_of_its_turn_may_go(RegionFlags flags, string command)
    {
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Pages * Page, Scripted(Pages * Page), flags: flags);
        it.Client.Run($"fill {at} {Unsaved * Page} 1");
        for (ulong page = Unsaved; page < Pages; page += 2)
            it.Client.WriteByte(at + (page * Page), 1);
        it.Client.Run($"fill {at + (Late * Page)} {Page} 1");
        RunningSnapshot snapshot = Halt(it);
        it.Client.Run($"fill {at + (Late * Page)} {Page} 2");
        it.Client.Run(string.Format(command, at + (Late * Page)));
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1, Late, 1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_that_is_mapped_over_without_an_event_ends_it(bool isTracked)
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        if (isTracked)
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        RunningSnapshot snapshot = Halt(it);
        it.Client.Run($"mapfixed {at + (Unsaved * Page)} {8 * Page}");
        it.Client.Run($"fill {at + (Unsaved * Page)} {8 * Page} 9");
        AssertEnded(snapshot, Errno.ECANCELED, "does not tell");
        it.Client.Run($"fill {at} {Pages * Page} 2");
        Assert.True(it.Client.IsFilledWith(at, Pages * Page, 2));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_that_was_mapped_over_without_an_event_stays_what_it_is(bool isTracked)
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(64 * Page, RandomFile(64 * (long)Page, 5, out byte[] wanted));
        it.Client.Run($"touch {at} {10 * Page}");
        it.Client.Run($"mapfixed {at + (8 * Page)} {8 * Page}");
        it.Client.Run($"fill {at + (12 * Page)} {Page} 9");
        Array.Clear(wanted, 8 * (int)Page, 8 * (int)Page);
        Array.Fill(wanted, (byte)9, 12 * (int)Page, (int)Page);
        if (isTracked)
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        Assert.Equal(wanted, Take(it));
        it.AssertZero(at + (8 * Page), 4 * Page);
        it.AssertZero(at + (13 * Page), 3 * Page);
        Assert.True(it.Client.IsFilledWith(at + (12 * Page), Page, 9));
        Assert.Equal(wanted[16 * (int)Page], it.Client.ReadByte(at + (16 * Page)));
    }

    [Fact]
    public void Memory_that_is_mapped_over_between_two_snapshots_is_zeros_in_the_second()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(64 * Page, RandomFile(64 * (long)Page, 6, out byte[] wanted));
        Assert.Equal(wanted, Take(it));
        it.Client.Run($"mapfixed {at + (8 * Page)} {8 * Page}");
        Array.Clear(wanted, 8 * (int)Page, 8 * (int)Page);
        Assert.Equal(wanted, Take(it));
        it.AssertZero(at + (8 * Page), 8 * Page);
    }

    [Fact]
    public void Memory_that_a_snapshot_finds_mapped_over_is_on_the_next_list_of_changed_pages()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(64 * Page, RandomFile(64 * (long)Page, 6, out _));
        it.Client.Run($"touch {at} {64 * Page}");
        Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
        it.Client.WriteByte(at + (9 * Page), 1);
        it.Client.WriteByte(at + (20 * Page), 1);
        it.Client.Run($"mapfixed {at + (8 * Page)} {8 * Page}");
        Take(it);
        DirtyPages changed = FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: true).Finish();
        Assert.Equal([new DirtyRun(at + (8 * Page), 8 * Page, Page), new DirtyRun(at + (20 * Page), Page, Page)], changed.Runs);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Range_that_comes_while_the_others_are_being_protected_is_in_it(bool isRegistered)
    {
        const int Others = 32;
        ServedClient it = ServeStock();

        // Mappings lie one below the other. While the others are protected, the range lies before the cursor, which comes to it; while they are registered, behind it.
        ulong above = it.Client.Map("anon", Page).Address;
        for (int i = 0; i < Others; i++)
            it.Client.Run($"fill {it.MapRegistered(Page)} {Page} 1");
        ulong below = it.Client.Map("anon", Page).Address;
        ulong late = isRegistered ? above : below;
        it.Client.Run($"fill {late} {Page} 1");
        (RunningSnapshot snapshot, HeldLoop protecting) = BeginHeldAt(
            it, () => it.Session.Snapshot is { ArmCursor: > 0 } some && some.IsRegistered == isRegistered);
        Task<EngineResult> registered;
        Snapshot state;
        using (protecting)
        {
            protecting.Await();
            state = it.Session.Snapshot!;
            Assert.Equal(isRegistered, state.ArmCursor <= late);
            registered = Engine.RegisterAsync(it.Session, new RegisterRequest
            {
                Start = late,
                Length = Page,
                Modes = UffdRegisterModes.Missing,
                Policy = it.Session.DefaultPolicy,
                Source = ZeroSource.Instance,
            });
        }

        Assert.Null(registered.Finish().Error);
        byte[] image = snapshot.Finish();
        Assert.Equal((Others + 1) * (int)Page, image.Length);
        Assert.False(image.AsSpan().ContainsAnyExcept((byte)1));
        Assert.Equal(1, state.ArmRestarts);
        it.Client.Run($"fill {late} {Page} 2");
        Assert.True(it.Client.IsFilledWith(late, Page, 2));
    }

    [Fact]
    public void Writers_that_wait_for_a_disk_that_hangs_are_let_go()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock(), stallLimit: TimeSpan.FromMilliseconds(200));
        it.Client.Run($"fill {at + (Unsaved * Page)} {Unsaved * Page} 2");
        Assert.True(it.Client.IsFilledWith(at + (Unsaved * Page), Unsaved * Page, 2));
        AssertEnded(snapshot, Errno.ETIMEDOUT, "writers waited");
        Assert.All(Take(it)[((int)Unsaved * (int)Page)..], value => Assert.Equal(2, value));
    }

    [Fact]
    public void Source_that_takes_its_time_ends_nothing_when_all_writers_have_been_let_go()
    {
        // Half of the pages are there, the other half only the source has.
        const ulong Half = 32;
        ServedClient it = ServeStock();
        ScriptedSource source = Scripted(2 * Half * Page);
        source.InMemory = false;
        ulong at = it.MapRegistered(2 * Half * Page, source);
        it.Client.Run($"fill {at} {Half * Page} 1");
        source.Hold();
        (RunningSnapshot snapshot, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: false), TimeSpan.FromMilliseconds(200));
        PendingReply write;
        using (protecting)
        {
            protecting.Await();
            write = it.BeginToTell($"fill {at} {Page} 2");
        }

        write.Await();
        Assert.Equal(1, Held);
        source.WaitForFetches(1);
        Eventually.Never(() => snapshot.Task.IsCompleted, TimeSpan.FromMilliseconds(600), "the end of the snapshot");
        source.ReleaseForGood();
        AssertFilled(snapshot.Finish(), 1, 0, Half);
    }

    [Fact]
    public void Page_that_is_let_go_late_belongs_to_the_next_snapshot()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => it.Session.Snapshot is { IsRegistered: true });
        Snapshot first;
        using (protecting)
        {
            protecting.Await();
            first = it.Session.Snapshot!;
        }

        Assert.False(running.Finish().AsSpan().ContainsAnyExcept((byte)1));
        RunningSnapshot second = Halt(it);

        // As if changes of the address space had put it off until now.
        ulong page = at + (Unsaved * Page);
        LoopCommand<bool> late = new(loop => new ReleasePageCommand(first, first.Regions[0], page).TryRun(loop, MonotonicClock.NowNanoseconds));
        it.Session.Loop.Post(late);
        Assert.True(late.Task.Finish());
        it.Client.Run($"fill {page} {Page} 2");
        Assert.Equal(1, second.Progress.SavedPages);
        ReleaseBases();
        AssertFilled(second.Finish(), 1);
    }

    [Fact]
    public void Snapshot_that_nobody_waits_for_may_take_its_time()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock(), stallLimit: TimeSpan.FromMilliseconds(1));
        Assert.Equal(1, it.Client.ReadByte(at + (Unsaved * Page)));

        // Several looks of the guard.
        Eventually.Never(() => snapshot.Task.IsCompleted || it.Session.Snapshot?.Failure is not null, TimeSpan.FromMilliseconds(250), "the end of the snapshot");
        ReleaseBases();
        snapshot.Finish();
    }

    [Fact]
    public void Writers_of_many_pages_go_on_while_the_disk_does_not()
    {
        // Four buffers of 64 pages are left for those that somebody waits for, of which the last is never handed to the disk.
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock());
        for (ulong page = 0; page < 2 * 64; page++)
            it.Client.WriteByte(at + ((Unsaved + page) * Page), 2);
        Assert.False(snapshot.Task.IsCompleted);
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);
    }

    [Fact]
    public void Memory_that_was_lazily_freed_and_written_again_is_in_it()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, RandomFile(8 * (long)Page, 5, out byte[] wanted));
        it.Client.Run($"fill {at} {2 * Page} 1");
        it.Client.Run($"madvise {at} {2 * Page} 8");
        it.Client.Run($"fill {at} {2 * Page} 7");
        Array.Fill(wanted, (byte)7, 0, 2 * (int)Page);
        Assert.Equal(wanted, Take(it));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Unsaved_memory_from_before_its_registration_must_not_go(bool isStock)
    {
        ServedClient it = isStock ? ServeStock() : Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", Pages * Page);
        it.Client.Run($"fill {at} {Pages * Page} 1");
        it.Register(at, Pages * Page);
        RunningSnapshot snapshot = Halt(it);
        it.Client.Run($"madvise {at + (Unsaved * Page)} {Page} 4");
        AssertEnded(snapshot, Errno.ECANCELED, "gave back");
    }

    [Fact]
    public void Client_may_change_its_own_protection_meanwhile()
    {
        const UffdRegisterModes Both = UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect;
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(Serve(policy: Zero), modes: Both);
        ulong lifted = at + (Unsaved * Page);
        ulong wanted = lifted + (64 * Page);
        Assert.Null(Engine.WriteProtectAsync(it.Session, lifted, 64 * Page, protect: true).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, lifted, 64 * Page, protect: false).Finish().Error);
        Assert.Null(Engine.WriteProtectAsync(it.Session, wanted, 64 * Page, protect: true).Finish().Error);
        it.Client.Run($"fill {lifted} {4 * Page} 2");
        it.Client.Run($"fill {wanted} {4 * Page} 2");
        ReleaseBases();
        AssertFilled(snapshot.Finish(), 1);

        // What the snapshot protected is lifted, what the client wants protected is not.
        long unprotected = Unprotected;
        it.Client.Run($"fill {lifted} {64 * Page} 3");
        Assert.Equal(unprotected, Unprotected);
        it.Client.Run($"fill {wanted} {64 * Page} 3");
        Assert.Equal(unprotected + 60, Unprotected);
    }

    private long Unprotected
    {
        get
        {
            // A client may run on before its fault is counted.
            Engine.PingAsync().Finish();
            return CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Unprotected);
        }
    }
}
