using UffdManager.Engine.Loops;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Events;

/// <summary>Faults where no region is known: who grew is found, who is gone is woken, and who has registered behind the manager's back is told so.</summary>
public sealed class UnknownRangeTests : EngineTest
{
    // Long enough for the proof that was once asked for to be complete: a thousand faults over half a second.
    private const long Pause = 700_000_000;

    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(500);

    [Fact]
    public void Thread_in_a_part_that_grew_sleeps_until_the_next_look_and_is_served_then()
    {
        ScriptedSource source = Scripted(8 * Page);
        ServedClient it = Serve();
        (ulong at, _) = it.Client.Map("anon", 8 * Page);
        it.Client.Run($"munmap {at + (4 * Page)} {4 * Page}");
        it.Register(at, 4 * Page, source);
        Assert.Equal(at, it.Client.Run($"mremap {at} {4 * Page} {8 * Page}"));
        OnLoop(it, () => it.Session.NextLookAt = MonotonicClock.NowNanoseconds + Pause);
        it.AssertHolds(at + (5 * Page), Page, source, 5 * (long)Page);
        Assert.True(MonotonicClock.NowNanoseconds >= it.Session.NextLookAt);
        Assert.Null(Seen<ClientKilled>());
        Assert.Equal(0, CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Stale));
        Assert.InRange(CountersOf(Alice).Deferrals(DeferralReason.UnknownRange), 1, 3);
        Assert.Equal((1, 8 * Page), (it.Status().Regions, it.Status().RegisteredBytes));
    }

    [Fact]
    public void Threads_that_wait_for_the_next_look_are_all_served_by_it()
    {
        const int Threads = 6;
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", 16 * Page);
        it.Client.Run($"munmap {at + (4 * Page)} {12 * Page}");
        it.Register(at, 4 * Page);
        Assert.Equal(at, it.Client.Run($"mremap {at} {4 * Page} {16 * Page}"));
        OnLoop(it, () => it.Session.NextLookAt = MonotonicClock.NowNanoseconds + (Pause / 4));
        PendingReply[] reads = [.. Enumerable.Range(0, Threads).Select(i => it.Client.Begin($"read {at + ((ulong)(4 + (2 * (i / 2))) * Page)}", i + 1))];
        Assert.All(reads, read => Assert.Equal(0UL, read.AwaitValue()));
        Assert.Null(Seen<ClientKilled>());
        Assert.Equal(0, CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Stale));
    }

    [Fact]
    public void Range_registered_behind_the_managers_back_ends_the_client_and_is_looked_at_now_and_then_only()
    {
        Options = Options with { UnknownRangePatience = s_patience };
        ServedClient it = Serve(policy: Zero);
        (ulong at, _) = it.Client.Map("anon", 4 * Page);
        Assert.Equal(Errno.OK, Userfaultfd.Register(it.Session.Uffd, at, 4 * Page, UffdRegisterModes.Missing, out _));
        long began = MonotonicClock.NowNanoseconds;
        _ = it.Client.Begin($"read {at}", 1);
        ClientKilled killed = AwaitKilled();
        double seconds = (MonotonicClock.NowNanoseconds - began) / 1e9;
        Assert.Contains("registered without the manager", killed.Reason, StringComparison.Ordinal);

        // Each look lets the thread go, and it comes back once: two milliseconds lie between two of them at least.
        long looks = CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Stale);
        Assert.InRange(looks, 30, 1 + (seconds * 500));
        Assert.True(seconds > 0.5);
    }

    [Fact]
    public void Faults_of_a_kind_that_a_region_was_not_registered_for_end_the_client_too()
    {
        Options = Options with { UnknownRangePatience = s_patience };
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(4 * Page);
        it.Client.WriteByte(at, 1);
        Assert.Equal(Errno.OK, Userfaultfd.Register(it.Session.Uffd, at, 4 * Page, UffdRegisterModes.Missing | UffdRegisterModes.WriteProtect, out _));
        using (FdLease lease = it.Session.Uffd.Lease())
            Assert.Equal(Errno.OK, Userfaultfd.WriteProtect(lease, at, Page, protect: true));
        _ = it.Client.Begin($"write {at} 2", 1);
        Assert.Contains("registered without the manager", AwaitKilled().Reason, StringComparison.Ordinal);
        Assert.True(CountersOf(Alice).Faults(FaultKind.WriteProtect, FaultOutcome.Stale) >= 30);
    }

    [Fact]
    public void Fault_of_memory_that_is_not_registered_any_more_is_let_go_at_once_and_proves_nothing()
    {
        // A field is mapped anew while a fault of the mapping before it waits for its turn; many times, and nobody looks at the mappings for it.
        Options = Options with { FaultLoops = 1, UnknownRangePatience = TimeSpan.Zero };
        ServedClient it = Serve(policy: Zero);
        _ = it.MapRegistered(Page);
        (ulong at, _) = it.Client.Map("anon", Page);
        OnLoop(it, () => it.Session.NextLookAt = long.MaxValue);
        for (int i = 1; i <= 100; i++)
        {
            LoopCommand<bool> fault = new(loop =>
            {
                loop.DeferUncertain(it.Session, at, UffdFaultFlags.None, MonotonicClock.NowNanoseconds, 0);
                return true;
            });
            it.Session.Loop.Post(fault);
            Assert.True(fault.Task.Finish());
            int times = i;
            Eventually.True(() => CountersOf(Alice).Faults(FaultKind.Missing, FaultOutcome.Stale) == times, "the fault to be let go");
        }

        Assert.Null(Seen<ClientKilled>());
        Assert.Equal(0, CountersOf(Alice).Deferrals(DeferralReason.UnknownRange));
        Assert.Equal(0, it.Client.ReadByte(at));
    }

    private ClientKilled AwaitKilled()
    {
        Eventually.True(() => Seen<ClientKilled>() is not null, "the client to be given up");
        return Seen<ClientKilled>()!;
    }

    private static void OnLoop(ServedClient it, Action action)
    {
        LoopCommand<bool> command = new(_ =>
        {
            action();
            return true;
        });
        it.Session.Loop.Post(command);
        Assert.True(command.Task.Finish());
    }
}
