using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Slow;

/// <summary>Sources that take their time, fail for a while, or fall short.</summary>
public sealed class SlowSourceTests : EngineTest
{
    [Fact]
    public void Hanging_source_of_one_tenant_does_not_delay_another()
    {
        Options = Options with { FaultLoops = 1, FetchThreads = 2 };
        ScriptedSource hanging = Scripted(16 * Page);
        ScriptedSource healthy = Scripted(256 * Page, seed: 2);
        hanging.Hold();
        ServedClient alice = Serve(Alice);
        ServedClient bob = Serve(Bob);
        ulong atAlice = alice.MapRegistered(16 * Page, hanging);
        ulong atBob = bob.MapRegistered(256 * Page, healthy);
        PendingReply[] stuck = [.. Enumerable.Range(0, 6).Select(t => alice.Client.Begin($"read {atAlice + ((ulong)t * Page)}", t))];
        hanging.WaitForFetches(2);
        bob.AssertHolds(atBob, 64 * Page, healthy);
        Assert.Equal(192 * Page, Engine.PrefetchAsync(bob.Session, atBob, 256 * Page).Finish().Value);
        Assert.All(stuck, read => Assert.False(read.IsCompleted));

        // Bob's thread was beyond the limit and is Alice's by now: that must not lock him out either.
        ulong more = bob.MapRegistered(16 * Page, healthy);
        bob.AssertHolds(more, 16 * Page, healthy);
        hanging.Release();
        foreach ((PendingReply read, int t) in stuck.Select((read, t) => (read, t)))
            Assert.Equal((ulong)hanging.ByteOf(t * (long)Page), read.AwaitValue());
    }

    [Fact]
    public void Failing_source_is_asked_again_ever_more_slowly_until_it_answers()
    {
        ScriptedSource source = Scripted(Page);
        source.FailNext(4);
        ServedClient it = Serve(policy: Named with { RetryBackoff = TimeSpan.FromMilliseconds(2), OnUnavailable = Verdict.Kill });
        ulong at = it.MapRegistered(Page, source);
        it.AssertHolds(at, Page, source);
        SourceFailed[] failures = [.. Enumerable.Range(1, 4).Select(n => WaitForEvent<SourceFailed>(e => e.Attempts == n))];
        Assert.All(failures, f => Assert.Equal((Errno.EIO, 0L, source.Description), (f.Errno, f.Offset, f.Source)));
        for (int i = 1; i < failures.Length; i++)
            Assert.True(failures[i].At - failures[i - 1].At >= 2_000_000L << (i - 1), $"retry {i} came early");
        Assert.Equal((4L, 1L), (CountersOf(Alice).Fetches(FetchOutcome.Failed), CountersOf(Alice).Fetches(FetchOutcome.Fetched)));
        Assert.Equal(5, source.Entered);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Source_that_answers_short_is_asked_for_the_rest(int mostPages)
    {
        ScriptedSource source = Scripted(128 * Page);
        source.MostPages = mostPages;
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 8 * 4096 });
        ulong at = it.MapRegistered(128 * Page, source);
        it.AssertHolds(at + (5 * Page), Page, source, 5 * (long)Page);
        it.AssertHolds(at, 32 * Page, source);
        Assert.Null(Engine.PrefetchAsync(it.Session, at, 128 * Page).Finish().Error);
        Assert.Equal(128 * (long)Page, it.Status().ResidentBytes);
        it.AssertHolds(at, 128 * Page, source);
    }

    [Fact]
    public void Source_that_answers_nothing_has_failed()
    {
        ScriptedSource source = Scripted(Page);
        source.MostPages = 0;
        ServedClient it = Serve(policy: Named with { RetryBackoff = TimeSpan.FromMilliseconds(10) });
        ulong at = it.MapRegistered(Page, source);
        PendingReply read = it.Client.Begin($"read {at}", 1);
        Assert.Equal(Errno.EIO, WaitForEvent<SourceFailed>(e => e.Attempts == 3).Errno);
        Assert.False(read.IsCompleted);
        source.MostPages = 1;
        Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue());
    }

    [Fact]
    public void Pages_in_flight_beyond_the_limit_wait_their_turn()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = 2 });
        AssertWaitsAndRecovers();
    }

    [Fact]
    public void Fetches_beyond_the_limit_wait_their_turn()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { FetchQueueDepth = 2 });
        AssertWaitsAndRecovers();
    }

    [Fact]
    public void Window_larger_than_the_limit_of_pages_in_flight_is_fetched_alone()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { PagesInFlight = 2 });
        ScriptedSource source = Scripted(64 * Page);
        ServedClient it = Serve(policy: Named with { FaultAroundBytes = 16 * 4096 });
        ulong at = it.MapRegistered(64 * Page, source);
        PendingReply[] reads = [.. Enumerable.Range(0, 4).Select(t => it.Client.Begin($"touch {at + ((ulong)t * 16 * Page)} {16 * Page}", t))];
        foreach (PendingReply read in reads)
            read.AwaitValue();
        it.AssertHolds(at, 64 * Page, source);
    }

    [Fact]
    public void Threads_that_wait_for_one_page_share_one_fetch()
    {
        ScriptedSource source = Scripted(Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(Page, source);
        PendingReply[] reads = [.. Enumerable.Range(0, 16).Select(t => it.Client.Begin($"read {at}", t))];
        Eventually.True(() => it.Status().Faults >= 16, "sixteen faults");
        source.Release();
        Assert.All(reads, read => Assert.Equal((ulong)source.ByteOf(0), read.AwaitValue()));
        Assert.Equal(1, source.Entered);
    }

    [Fact]
    public void Prefetch_from_a_failing_source_says_so_and_leaves_its_faults_to_be_served()
    {
        ScriptedSource source = Scripted(MiB);
        source.FailNext(1);
        ServedClient it = Serve();
        ulong at = it.MapRegistered(MiB, source);
        EngineResult result = Engine.PrefetchAsync(it.Session, at, MiB).Finish();
        Assert.Equal((EngineErrorKind.Source, Errno.EIO), (result.Error!.Kind, result.Error.Errno));
        it.AssertHolds(at, MiB, source);
    }

    [Fact]
    public void Fault_in_a_page_that_is_being_prefetched_is_answered_by_that_fetch()
    {
        ScriptedSource source = Scripted(16 * Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(16 * Page, source);
        Task<EngineResult> prefetch = Engine.PrefetchAsync(it.Session, at, 16 * Page);
        source.WaitForFetches(1);
        PendingReply read = it.Client.Begin($"read {at + (7 * Page)}", 1);
        Eventually.True(() => it.Status().Faults == 1, "the fault");
        source.Release();
        Assert.Equal((ulong)source.ByteOf(7 * (long)Page), read.AwaitValue());
        Assert.Equal(16 * Page, prefetch.Finish().Value);
        Assert.Equal(1, source.Entered);
    }

    private void AssertWaitsAndRecovers()
    {
        ScriptedSource source = Scripted(8 * Page);
        source.Hold();
        ServedClient it = Serve();
        ulong at = it.MapRegistered(8 * Page, source);
        PendingReply[] reads = [.. Enumerable.Range(0, 8).Select(t => it.Client.Begin($"read {at + ((ulong)t * Page)}", t))];
        Eventually.True(() => CountersOf(Alice).Deferrals(DeferralReason.InFlightLimit) >= 6, "six faults to be deferred");
        source.WaitForFetches(2);
        Assert.Equal((2, 2), (it.Status().PagesInFlight, source.Entered));
        source.Release();
        foreach ((PendingReply read, int t) in reads.Select((read, t) => (read, t)))
            Assert.Equal((ulong)source.ByteOf(t * (long)Page), read.AwaitValue());
    }
}
