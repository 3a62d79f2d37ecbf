using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;
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

    [Theory]
    [InlineData(24, 16, 8)]
    [InlineData(6, 8192, 6)]
    public void Replay_keeps_to_the_pages_in_flight_of_policy_and_tenant(int ofPolicy, int ofTenant, int most)
    {
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = ofTenant });
        Policy narrow = Replay with { Prefetch = Replay.Prefetch with { MaximumPagesInFlight = ofPolicy } };
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at, narrow);
        Assert.Equal(most, CountersOf(Alice).PagesInFlight);
        source.Release();
        WaitForReplay(it);
        Assert.InRange(source.Entered, Wanted.Length, int.MaxValue);
        it.AssertHolds(at, Image / 4, source);
    }

    [Fact]
    public void Replay_ends_when_its_time_is_over()
    {
        Policy brief = Replay with { Prefetch = Replay.Prefetch with { MaximumTime = TimeSpan.FromSeconds(1) } };
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out _, brief);

        // It counts from the registration, whenever the session began.
        long end = Assert.Single(it.Session.Runs).ReplayEndsAt;
        Eventually.True(() => MonotonicClock.NowNanoseconds > end, "the end of the time");
        source.Release();
        WaitForEndOfJobs(it);
        EndRun(it);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Limited));
        Assert.InRange(CountersOf(Alice).Replayed(ReplayPages.Installed), 1, 40);
    }

    [Fact]
    public void Replay_whose_run_begins_elsewhere_waits_until_it_comes_to_the_plan()
    {
        ServedClient it = ServeHeldReplay(out ScriptedSource source, out ulong at);

        // Faults are served at once, the batch hangs.
        source.InMemory = true;
        for (ulong page = 1; page <= 20; page++)
            it.AssertHolds(at + (page * 4 * Page) + Page, Page, source, (long)((page * 4 * Page) + Page));
        source.Release();
        long batch = 32 * (long)Page;
        Eventually.True(() => it.Status().ResidentBytes == batch + (20 * (long)Page), "the batch that was on its way");
        Eventually.Never(() => it.Status().ResidentBytes > batch + (20 * (long)Page), TimeSpan.FromMilliseconds(50), "more of a replay in doubt");
        Assert.NotEmpty(it.Session.Jobs);
        foreach (ulong page in Wanted.Skip(200).Take(10))
            it.AssertHolds(at + (page * Page), Page, source, (long)(page * Page));
        WaitForReplay(it);
        EndRun(it);
        Assert.Equal(1, CountersOf(Alice).Runs(ReplayOutcome.Replayed));
    }

    [Fact]
    public void Room_for_touches_is_left_for_who_comes_next()
    {
        MemoryGauge all = new();
        List<long> taken = [];
        for (int tenant = 0; tenant < 4; tenant++)
        {
            MemoryGauge own = new();
            TouchBudget budget = new(all, own);
            while (budget.TryTake(1 << 20))
                Assert.InRange(all.Bytes, 1, TouchBudget.MaximumBytes);
            taken.Add(own.Bytes >> 20);
        }

        Assert.Equal([32, 16, 8, 4], taken);
    }

    [Fact]
    public void Run_without_room_for_its_touches_is_not_learnt_from_and_fills_nothing_early()
    {
        FileSource file = RandomFile((long)Image, 20, out byte[] contents);
        Engine.WorkingSets.TouchBytes.Add(TouchBudget.MaximumBytes);
        Policy both = Replay with { Prefetch = Replay.Prefetch with { Mode = PrefetchMode.ReplayThenFull, RecordTime = TimeSpan.FromHours(1) } };
        ServedClient it = Serve(policy: both);
        ulong at = it.MapRegistered(Image, file);
        foreach (ulong page in Wanted)
            AssertPage(it, at + (page * Page), contents, page);
        Eventually.Never(() => it.Status().ResidentBytes > Wanted.Length * (long)Page, TimeSpan.FromMilliseconds(50), "the rest of the image");
        it.Client.Kill();
        Eventually.True(() => Engine.Sessions().Count == 0, "the end of the session");
        Assert.True(Engine.WorkingSets.WaitForRest(Eventually.DefaultDeadline));
        Assert.Equal(0, Traces.Saves);
        Engine.WorkingSets.TouchBytes.Add(-TouchBudget.MaximumBytes);
        Assert.Equal(Wanted.Length, Run(file, contents, Replay, Wanted));
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
