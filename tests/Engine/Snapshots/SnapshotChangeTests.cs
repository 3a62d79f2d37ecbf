using UffdManager.Engine.Regions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
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
    public void Range_that_comes_while_the_others_are_being_protected_is_in_it()
    {
        const int Others = 32;
        ServedClient it = ServeStock();

        // The first mapping lies above those that come after it: the protecting, which goes upwards, comes to it last.
        ulong late = it.Client.Map("anon", Page).Address;
        for (int i = 0; i < Others; i++)
            it.Client.Run($"fill {it.MapRegistered(Page)} {Page} 1");
        RunningSnapshot snapshot;
        HeldLoop protecting;
        using (new HeldLoop(it.Session))
        {
            snapshot = Begin(it);
            protecting = HeldLoop.At(it.Session, () => it.Session.Snapshot is { IsRegistered: true, ArmCursor: > 0 });
        }

        Task<EngineResult> registered;
        using (protecting)
        {
            protecting.Await();
            Assert.True(it.Session.Snapshot!.ArmCursor <= late, "the protecting has passed the range already");
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
        Assert.Equal((Others + 1) * (int)Page, snapshot.Finish().Length);
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
    public void Snapshot_that_nobody_waits_for_may_take_its_time()
    {
        (ServedClient it, ulong at, RunningSnapshot snapshot) = Halted(ServeStock(), stallLimit: TimeSpan.FromMilliseconds(1));
        Assert.Equal(1, it.Client.ReadByte(at + (Unsaved * Page)));
        Engine.PingAsync().Finish();
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

    [Fact]
    public void Unsaved_memory_from_before_its_registration_must_not_go()
    {
        ServedClient it = Serve(policy: Zero);
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

    // A diff: a hole where the base has the same.
    private void AssertFilled(byte[] image, byte value, ulong first = 0, ulong count = Pages)
    {
        for (ulong page = first; page < first + count; page++)
        {
            ReadOnlySpan<byte> contents = image.AsSpan((int)(page * Page), (int)Page);
            Assert.True(!contents.ContainsAnyExcept(value) || (Base.ByteOf((long)(page * Page)) == value && !contents.ContainsAnyExcept((byte)0)), $"page {page}");
        }
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
