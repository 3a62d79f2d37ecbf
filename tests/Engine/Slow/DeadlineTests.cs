using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Slow;

/// <summary>What counts against the deadline of a page: the time that its source has for it, and no other.</summary>
public sealed class DeadlineTests : EngineTest
{
    private static readonly Policy s_strict = Named with { OnUnavailable = Verdict.Poison, Deadline = TimeSpan.FromSeconds(3) };

    // Longer than the deadline, by less than a loop is late on any machine.
    private static readonly TimeSpan s_longer = TimeSpan.FromMilliseconds(3200);

    [Fact]
    public void Time_that_a_fault_waits_for_its_tenants_rate_is_not_the_sources()
    {
        const int Rate = 1000;
        Alice = new Tenant("alice", 1, new TenantLimits { FaultsPerSecond = Rate });
        ScriptedSource source = Scripted(Page);
        source.Hold();
        ServedClient it = Serve(policy: s_strict);
        ulong at = it.MapRegistered(Page, source);
        Alice.Usage.Faults.Owe((long)(s_longer.TotalSeconds * Rate), Rate, MonotonicClock.NowNanoseconds);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        Assert.Equal(1, CountersOf(Alice).Deferrals(DeferralReason.Throttled));
        Turn();
        Assert.False(read.IsCompleted, "judged when its source had just been asked");
        source.Release();
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Tenant_that_waits_for_its_rate_does_not_keep_the_verdict_from_another()
    {
        Options = Options with { FaultLoops = 1 };
        Alice = new Tenant("alice", 1, new TenantLimits { FaultsPerSecond = 1 });
        ServedClient alice = Serve(Alice, s_strict with { Deadline = TimeSpan.FromMilliseconds(1) });
        ulong atAlice = alice.MapRegistered(32 * Page, Scripted(32 * Page));
        PendingReply[] waiting = [.. Enumerable.Range(0, 32).Select(t => alice.Client.Begin($"read {atAlice + ((ulong)t * Page)}", t))];
        Eventually.True(() => CountersOf(Alice).Deferrals(DeferralReason.Throttled) >= 30, "thirty faults that wait for their turn");
        ScriptedSource hanging = Scripted(Page, seed: 2);
        hanging.Hold();
        ServedClient bob = Serve(Bob, s_strict);
        Assert.Equal(ClientReply.Sigbus, bob.Client.Try($"read {bob.MapRegistered(Page, hanging)}").Signal);
        Assert.Contains(waiting, read => !read.IsCompleted);
    }

    [Fact]
    public void Fault_that_waits_for_a_place_is_not_given_up_while_places_become_free()
    {
        ScriptedSource source = Scripted(Page);
        ServedClient it = ServeWithoutPlace(s_strict with { Deadline = TimeSpan.FromMilliseconds(500) }, source, out PendingReply read);

        // The places go to others, in every turn of the loop: two waits of the deadline's length and more.
        long until = MonotonicClock.NowNanoseconds + 1_200_000_000;
        using (HeldLoop held = HeldLoop.At(it.Session, () =>
        {
            Alice.Usage.RemoveFetch(0);
            Assert.True(Alice.Usage.TryAddFetch(0, 1, 2));
            return MonotonicClock.NowNanoseconds > until;
        }))
        {
            held.Await();
            Assert.False(read.IsCompleted);
            FreePlaces(source);
        }

        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Fault_that_waits_for_a_place_is_given_up_when_none_becomes_free()
    {
        ScriptedSource source = Scripted(Page);
        ServeWithoutPlace(s_strict with { Deadline = TimeSpan.FromMilliseconds(200) }, source, out PendingReply read);
        Assert.Equal(ClientReply.Sigbus, read.Await().Signal);
        Assert.Contains("do not answer", WaitForEvent<PagePoisoned>().Reason, StringComparison.Ordinal);
        FreePlaces(source);
    }

    [Fact]
    public void Standstill_of_the_manager_is_not_counted_for_a_fault_that_is_put_back()
    {
        ScriptedSource source = Scripted(Page);
        ServedClient it = ServeWithoutPlace(s_strict, source, out PendingReply read);
        long before = 0;
        StandStill(it, () => before = PutBack(it));
        using (HeldLoop held = HeldLoop.At(it.Session, () => PutBack(it) > before))
        {
            held.Await();
            FreePlaces(source);
        }

        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Read_that_fails_during_a_standstill_is_tried_again()
    {
        ScriptedSource source = Scripted(Page);
        source.Hold();
        source.FailNext(1);
        ServedClient it = Serve(policy: s_strict);
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        source.WaitForFetches(1);
        StandStill(it, source.Release);
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
        Assert.Equal(2, source.Entered);
    }

    // The tenant has two places, and both are taken.
    private ServedClient ServeWithoutPlace(Policy policy, ScriptedSource source, out PendingReply read)
    {
        Alice = new Tenant("alice", 1, new TenantLimits { FetchQueueDepth = 2 });
        Assert.True(Alice.Usage.TryAddFetch(0, 1, 2) && Alice.Usage.TryAddFetch(0, 1, 2));
        ServedClient it = Serve(policy: policy);
        ulong at = it.MapRegistered(Page, source);
        read = it.Client.Begin($"read {at}", 1);
        Eventually.True(() => CountersOf(Alice).Deferrals(DeferralReason.InFlightLimit) > 0, "the fault to be put back");
        return it;
    }

    // And whoever comes now is served without one.
    private void FreePlaces(ScriptedSource source)
    {
        source.InMemory = true;
        Alice.Usage.RemoveFetch(0);
        Alice.Usage.RemoveFetch(0);
    }

    // On its loop.
    private static long PutBack(ServedClient it) => it.Session.Counters.Deferrals[(int)DeferralReason.InFlightLimit];

    private void Turn()
    {
        Engine.PingAsync().Finish();
        Engine.PingAsync().Finish();
    }

    private void StandStill(ServedClient it, Action first)
    {
        using ManualResetEventSlim never = new();
        LoopCommand<bool> standstill = new(_ =>
        {
            first();
            return never.Wait(s_longer);
        });
        it.Session.Loop.Post(standstill);
        Assert.False(standstill.Task.Finish());
        Turn();
    }
}
