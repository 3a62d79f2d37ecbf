using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.TestSupport;
using Xunit;
using Stopwatch = System.Diagnostics.Stopwatch;

namespace UffdManager.Engine.Tests.WorkingSets;

/// <summary>What a replay may take, and when it is given up.</summary>
public sealed class ReplayGuardTests : WorkingSetTest
{
    [Fact]
    public void Replay_ends_where_the_policy_says()
    {
        FileSource file = RandomFile((long)Image, 11, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        Policy small = Replay with { Prefetch = Replay.Prefetch with { MaximumBytes = 40 * (long)Page } };
        ServedClient it = Serve(policy: small);
        it.MapRegistered(Image, file);
        WaitForReplay(it, 40);
        Assert.Equal(40 * (long)Page, it.Status().ResidentBytes);
    }

    [Fact]
    public void Replay_keeps_to_the_pages_in_flight_of_policy_and_tenant()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = 16 });
        FileSource file = RandomFile((long)Image, 12, out byte[] contents);
        Policy narrow = Replay with { Prefetch = Replay.Prefetch with { MaximumPagesInFlight = 24 } };
        Run(file, contents, narrow, Wanted);
        Assert.InRange(RunPrefetched(file, contents, narrow, Wanted), 0, Wanted.Length * 5 / 100);
    }

    [Fact]
    public void Replay_leaves_half_of_what_may_be_in_flight_and_a_thread_to_the_faults()
    {
        Options = Options with { FetchThreads = 2, FetchConcurrencyPerTenant = 2 };
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = 64, FetchQueueDepth = 4 });
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);
        Assert.InRange(CountersOf(Alice).PagesInFlight, 1, 32);

        // The source hangs in the batch, on its own thread; who faults does not wait for it in the queue.
        int before = source.Entered;
        PendingReply read = it.Client.Begin($"read {at + Page}", 1);
        source.WaitForFetches(before + 1);
        source.Release();
        Assert.Equal((ulong)source.ByteOf((long)Page), read.AwaitValue());
        it.AssertHolds(at, 64 * Page, source);
    }

    [Fact]
    public void Who_registers_again_and_again_is_planned_for_a_few_times()
    {
        FileSource file = RandomFile((long)Image, 19, out byte[] contents);
        Run(file, contents, Replay, Wanted);
        ServedClient it = Serve(policy: Replay);
        (ulong at, _) = it.Client.Map("anon", Image);
        for (int i = 0; i < 3 * WorkingSetRun.MaximumWindows; i++)
        {
            it.Register(at, Image, file);
            Assert.Null(Engine.UnregisterAsync(it.Session, at, Image).Finish().Error);
        }

        Assert.Equal(WorkingSetRun.MaximumWindows, Assert.Single(it.Session.Runs).Windows.Count);
    }

    [Fact]
    public void Run_that_touches_other_pages_stops_the_replay_and_is_learnt_anew()
    {
        FileSource file = RandomFile(64 * (long)MiB, 17, out byte[] contents);
        ulong[] first = [.. Enumerable.Range(0, 4000).Select(i => (ulong)i * 2)];
        ulong[] other = [.. Enumerable.Range(8100, 6000).Select(i => (ulong)i)];
        Stopwatch watch = Stopwatch.StartNew();
        Run(file, contents, Replay, first);

        // Runs that live as long as the first one have something to say about all of its pages.
        TimeSpan life = watch.Elapsed * 2;
        Run(file, contents, Replay, other, life: life);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Recorded));
        Run(file, contents, Replay, other, life: life);
        Assert.Equal(2, CountersOf(Alice).Runs(ReplayOutcome.Recorded));
        ServedClient it = Serve(policy: Replay);
        it.MapRegistered(64 * MiB, file);
        WaitForReplay(it, other.Length * 9 / 10);
        Assert.InRange(it.Status().ResidentBytes, 1, other.Length * (long)Page);
    }

    [Fact]
    public void Accounting_tells_what_was_installed_and_what_became_of_it()
    {
        FileSource file = RandomFile(64 * (long)MiB, 18, out byte[] contents);
        ulong[] pages = [.. Enumerable.Range(0, 3200).Select(i => (ulong)i * 5)];
        Run(file, contents, Replay, pages);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Recorded));

        ServedClient it = Serve(policy: Replay);
        ulong at = it.MapRegistered(64 * MiB, file);
        int planned = pages.Count(page => !Trace.IsProbe((uint)page, 1));
        WaitForReplay(it, planned);
        foreach (ulong page in pages.Take(1600))
            AssertPage(it, at + (page * Page), contents, page);
        foreach (ulong page in Enumerable.Range(1, 10).Select(i => (ulong)i))
            AssertPage(it, at + (page * 5 * Page) + Page, contents, (page * 5) + 1);
        EndRun(it);

        TenantSnapshot counters = CountersOf(Alice);
        Assert.Equal(planned, counters.Replayed(ReplayPages.Installed));
        Assert.Equal(0, counters.Replayed(ReplayPages.Late));
        Assert.Equal(10, counters.Replayed(ReplayPages.Missed));
        Assert.Equal(pages.Take(1600).Count(page => Trace.IsProbe((uint)page, 1)), counters.Replayed(ReplayPages.Probed));
        Assert.Equal(planned, counters.Replayed(ReplayPages.Used) + counters.Replayed(ReplayPages.Wasted));
        Assert.InRange(counters.Replayed(ReplayPages.Used), planned * 3 / 10, planned * 7 / 10);
        Assert.Equal(1, counters.Runs(ReplayOutcome.Replayed));
    }
}
