using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Snapshots;

/// <summary>How long clients that write wait for a snapshot, and what it holds then.</summary>
public sealed class SnapshotWriterTests : HaltedSnapshotTest
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Writer_is_let_go_while_the_rest_is_still_being_protected(bool isTracked)
    {
        (ServedClient it, ulong[] at) = ServeRanges();
        if (isTracked)
        {
            Assert.Null(Engine.StartTrackingAsync(it.Session).Finish().Error);
            _ = FaultEngine.DirtyPagesAsync(it.Session, 0, 100, reset: true).Finish();
        }

        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: true));
        protecting.Await();
        Snapshot snapshot = it.Session.Snapshot!;
        LetGo(it, snapshot, protecting, at[0], () => Assert.Equal(0, snapshot.TakenAt));

        // It was written before the instant; and is protected again since.
        byte[] image = running.Finish();
        Assert.False(image.AsSpan(1).ContainsAnyExcept((byte)1));
        Assert.Equal(2, image[0]);
        Assert.True(snapshot.Lifted.IsEmpty);
        Assert.Equal(1, snapshot.Lifted.Rounds);
        Assert.Equal(0, Held);
        if (isTracked)
            Assert.Equal([at[0]], FaultEngine.DirtyPagesAsync(it.Session, 0, 10, reset: false).Finish().Runs.Select(run => run.Start));
    }

    [Fact]
    public void Page_whose_writer_was_let_go_is_protected_again_before_the_instant()
    {
        (ServedClient it, ulong[] at) = ServeRanges();
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: true));
        protecting.Await();
        Snapshot snapshot = it.Session.Snapshot!;
        LetGo(it, snapshot, protecting, at[0], () => protecting = HeldLoop.At(it.Session, () => snapshot.TakenAt != 0));
        PendingReply late;
        using (protecting)
        {
            protecting.Await();
            late = Meet(it, at[0], 3);
            Assert.False(late.IsCompleted);
        }

        byte[] image = running.Finish();
        Assert.Equal(2, image[0]);
        late.Await();
        Assert.Equal(3, it.Client.ReadByte(at[0]));
    }

    [Fact]
    public void Nobody_waits_for_the_first_pass_however_many_pages_are_written_meanwhile()
    {
        const ulong Written = 17_000;
        const ulong Rest = 256;
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered((Written + Rest) * Page);
        it.Client.Run($"fill {at} {(Written + Rest) * Page} 1");

        // The pass comes as far as the rest, and protects that again and again.
        ulong place = at + (Written * Page);
        bool isThere = false;
        bool goesOn = false;
        (RunningSnapshot running, HeldLoop pass) = BeginHeldAt(it, () =>
        {
            if (it.Session.Snapshot is { IsRegistered: true } taken && taken.ArmCursor >= place)
            {
                taken.ArmCursor = place;
                Volatile.Write(ref isThere, true);
            }

            return Volatile.Read(ref goesOn);
        });
        Eventually.True(() => Volatile.Read(ref isThere), "the pass to have come by");
        it.Client.Run($"fill {at} {Written * Page} 2");
        Volatile.Write(ref goesOn, true);
        using (pass)
        {
            pass.Await();
            Assert.Equal((long)Written, it.Session.Snapshot!.Lifted.Count);
            Assert.Equal(0, it.Session.Snapshot.TakenAt);
        }

        byte[] image = running.Finish();
        Assert.Equal(0, Held);
        Assert.False(image.AsSpan(0, (int)(Written * Page)).ContainsAnyExcept((byte)2));
        Assert.False(image.AsSpan((int)(Written * Page)).ContainsAnyExcept((byte)1));
        Assert.True(running.Progress.HoldNanoseconds < running.Progress.ArmNanoseconds);
    }

    [Fact]
    public void Range_that_is_cut_in_pieces_while_it_is_protected_is_still_one_in_the_image()
    {
        ServedClient it = ServeStock();
        ulong at = it.MapRegistered(8 * Page, modes: UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect);
        it.Client.Run($"fill {at} {8 * Page} 1");
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: true));
        protecting.Await();
        Snapshot snapshot = it.Session.Snapshot!;
        Task<EngineResult> cut = Engine.WriteProtectAsync(it.Session, at + (2 * Page), 2 * Page, protect: true);
        LetGo(it, snapshot, protecting, at + (5 * Page), () => { });
        Assert.Null(cut.Finish().Error);
        byte[] image = running.Finish();
        Assert.Equal(3, it.Session.Regions.Count);
        Assert.Single(running.Task.Finish().Regions);
        Assert.Equal(0, snapshot.ArmRestarts);
        Assert.Equal(2, image[5 * (int)Page]);
        image[5 * (int)Page] = 1;
        Assert.False(image.AsSpan().ContainsAnyExcept((byte)1));
    }

    [Fact]
    public void Everything_is_looked_at_anew_when_the_kernel_turns_out_not_to_tell_where_pages_are()
    {
        (ServedClient it, _) = ServeRanges();
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: true));
        Snapshot snapshot;
        using (protecting)
        {
            protecting.Await();
            snapshot = it.Session.Snapshot!;
            Assert.All(snapshot.Regions, region => Assert.False(region.IsReadThrough));
            snapshot.Presence.Tells = false;
        }

        Assert.False(running.Finish().AsSpan().ContainsAnyExcept((byte)1));
        Assert.Equal(1, snapshot.ArmRestarts);
        Assert.All(snapshot.Regions, region => Assert.True(region.IsReadThrough));
    }

    [Fact]
    public void Last_round_lets_nobody_go_before_the_instant()
    {
        (ServedClient it, ulong[] at) = ServeRanges();
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: false));
        PendingReply write;
        using (protecting)
        {
            protecting.Await();
            write = Meet(it, at[0], 2);
        }

        Assert.False(running.Finish().AsSpan().ContainsAnyExcept((byte)1));
        write.Await();
        AssertHeldOnce();
        Assert.InRange(running.Progress.HoldNanoseconds, 1, running.Progress.ArmNanoseconds);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Everything_is_protected_anew_when_a_range_comes_though_writers_were_let_go(int times)
    {
        (ServedClient it, ulong[] at) = ServeRanges();
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: true));
        protecting.Await();
        Snapshot snapshot = it.Session.Snapshot!;
        for (int i = 1; i <= times; i++)
            protecting = BeginAnew(it, snapshot, protecting, at[0]);
        LetGo(it, snapshot, protecting, at[0], () => { });
        byte[] image = running.Finish();
        Assert.Equal(times, snapshot.ArmRestarts);
        Assert.Equal(0, Held);
        Assert.Equal((at.Length * (int)Page) + (times * (int)Page), image.Length);
        Assert.Equal(2, it.Client.ReadByte(at[0]));
        Assert.Equal(2, PageAt(image, running, at[0])[0]);
    }

    [Fact]
    public void Who_begins_anew_again_and_again_gets_one_round_that_lets_nobody_go()
    {
        (ServedClient it, ulong[] at) = ServeRanges();
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: true));
        protecting.Await();
        Snapshot snapshot = it.Session.Snapshot!;
        for (int i = 1; i <= 4; i++)
            protecting = BeginAnew(it, snapshot, protecting, at[0]);

        // Let go in the pass, and protected again in the round.
        HeldLoop? round = null;
        LetGo(it, snapshot, protecting, at[0], () => round = HeldLoop.At(it.Session, () => snapshot.Lifted.HoldingSince != 0));
        PendingReply second;
        using (round!)
        {
            round!.Await();
            Assert.Equal(0, snapshot.TakenAt);
            second = Meet(it, at[1], 2);
        }

        byte[] image = running.Finish();
        second.Await();
        AssertHeldOnce();
        Assert.Equal((2, 1), (PageAt(image, running, at[0])[0], PageAt(image, running, at[1])[0]));
    }

    [Fact]
    public void Writer_that_the_last_round_holds_is_let_go_when_a_range_comes_in_it()
    {
        (ServedClient it, ulong[] at) = ServeRanges();
        (RunningSnapshot running, HeldLoop protecting) = BeginHeldAt(it, () => IsProtecting(it, letsGo: false));
        protecting.Await();
        Snapshot snapshot = it.Session.Snapshot!;
        PendingReply write = Meet(it, at[0], 2);
        HeldLoop held = HeldLoop.At(it.Session, () => !snapshot.Urgent.IsEmpty);
        protecting.Dispose();
        held.Await();
        Task<EngineResult> registered = BeginRegister(it);
        Assert.NotEqual(0, snapshot.Lifted.HoldingSince);
        Assert.False(write.IsCompleted);

        // The next pass has come past the page, which its writer meets again: it was woken, and is not held this time.
        HeldLoop again = HeldLoop.At(it.Session, () => snapshot is { ArmRestarts: 1, IsRegistered: true } && snapshot.ArmCursor > at[0]);
        held.Dispose();
        again.Await();
        AwaitFault(it, write);
        Assert.Equal(0, snapshot.TakenAt);
        if (write.IsCompleted)
            again.Dispose(); // It came before the page was protected anew.
        else
            LetGo(snapshot, again, write, () => Assert.Equal(0, snapshot.TakenAt));
        Assert.Null(registered.Finish().Error);
        byte[] image = running.Finish();
        Assert.Equal(1, snapshot.ArmRestarts);
        Assert.Equal(2, PageAt(image, running, at[0])[0]);
    }

    [Fact]
    public void Ranges_that_are_registered_for_it_already_take_no_turn_each()
    {
        ServedClient it = Serve(policy: Zero);
        for (int i = 0; i < 32; i++)
            it.Client.Run($"fill {it.MapRegistered(Page)} {Page} 1");
        Take(it);
        int turns = 0;
        (RunningSnapshot second, HeldLoop registered) = BeginHeldAt(it, () =>
        {
            turns += it.Session.Snapshot is { IsRegistered: false } ? 1 : 0;
            return it.Session.Snapshot is { IsRegistered: true };
        });
        using (registered)
        {
            registered.Await();
            Assert.InRange(turns, 0, 2);
        }

        Assert.Equal(32 * (int)Page, second.Finish().Length);
    }

    // Who is held until the instant faults again then. Has the reader just claimed the page, the writer waits for that too.
    private void AssertHeldOnce() => Assert.InRange(Held, 1, 2);

    // Ranges of a page each, by address: one of them is protected in a turn of the loop.
    private (ServedClient It, ulong[] At) ServeRanges()
    {
        ServedClient it = ServeStock();
        ulong[] at = [.. Enumerable.Range(0, 32).Select(_ => it.MapRegistered(Page))];
        Array.Sort(at);
        foreach (ulong range in at)
            it.Client.Run($"fill {range} {Page} 1");
        return (it, at);
    }

    private Task<EngineResult> BeginRegister(ServedClient it)
    {
        (ulong late, _) = it.Client.Map("anon", Page);
        return Engine.RegisterAsync(it.Session, new RegisterRequest
        {
            Start = late,
            Length = Page,
            Modes = UffdRegisterModes.Missing,
            Policy = it.Session.DefaultPolicy,
            Source = ZeroSource.Instance,
        });
    }

    // A range comes while the loop stands in a pass; it stands in the next one afterwards, behind the first page.
    private HeldLoop BeginAnew(ServedClient it, Snapshot snapshot, HeldLoop standing, ulong first)
    {
        int restarts = snapshot.ArmRestarts + 1;
        Task<EngineResult> registered = BeginRegister(it);
        HeldLoop next = HeldLoop.At(it.Session, () => snapshot.ArmRestarts == restarts && snapshot.IsRegistered && snapshot.ArmCursor > first);
        standing.Dispose();
        Assert.Null(registered.Finish().Error);
        next.Await();
        return next;
    }

    // A page is written after the loop has gone on from where it stands, and before it protects the page again.
    private static void LetGo(ServedClient it, Snapshot snapshot, HeldLoop standing, ulong page, Action meanwhile) =>
        LetGo(snapshot, standing, Meet(it, page, 2), meanwhile);

    private static void LetGo(Snapshot snapshot, HeldLoop standing, PendingReply write, Action meanwhile)
    {
        using HeldLoop lifted = HeldLoop.At(snapshot.Session, () => !snapshot.Lifted.IsEmpty);
        standing.Dispose();
        lifted.Await();
        write.Await();
        meanwhile();
    }

    // A writer has met a page while the loop stands still. It writes once: a second write may meet the protection again.
    private static PendingReply Meet(ServedClient it, ulong page, int value)
    {
        PendingReply write = it.Client.Begin($"write {page} {value}", thread: 1);
        AwaitFault(it, write);
        return write;
    }

    private static void AwaitFault(ServedClient it, PendingReply write)
    {
        using FdLease uffd = it.Session.Uffd.Lease();
        Eventually.True(() => write.IsCompleted || FdPoll.WaitReadable(uffd, TimeSpan.FromMilliseconds(10)), "the writer to fault");
    }

    private static ReadOnlySpan<byte> PageAt(byte[] image, RunningSnapshot running, ulong address)
    {
        SnapshotReport report = running.Task.Finish();
        SnapshotRegion region = report.Regions.Single(region => address >= region.Start && address < region.Start + region.Length);
        return image.AsSpan((int)(region.FileOffset + (long)(address - region.Start)), (int)Page);
    }
}
