using System.Diagnostics;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests;

/// <summary>Whoever hits a limit gets an error or waits; nobody else notices.</summary>
public sealed class LimitsTests : EngineTest
{
    private const int Rate = 100;

    [Fact]
    public void Session_beyond_the_limit_is_refused_until_one_ends()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { Sessions = 2 });
        ServedClient first = Serve();
        Serve();
        ClientProcess third = StartClient();
        SafeUffd uffd = third.OpenUffd();
        AttachResult refused = Attach(third, uffd);
        Assert.Equal((EngineErrorKind.Limit, Errno.EDQUOT), (refused.Error!.Kind, refused.Error.Errno));
        Assert.Contains("limits.sessions", refused.Error.Text, StringComparison.Ordinal);
        Assert.True(uffd.IsClosed);
        Serve(Bob);
        first.Client.Kill();
        Eventually.True(() => Alice.Usage.Sessions == 1, "the end of the first");
        Serve(third);
    }

    [Fact]
    public void Region_beyond_the_limit_is_refused_until_one_is_gone()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { Regions = 2 });
        ServedClient it = Serve(policy: Zero);
        ulong at = it.MapRegistered(Page);
        it.MapRegistered(Page);
        (ulong more, _) = it.Client.Map("anon", Page);
        EngineResult refused = it.TryRegister(more, Page);
        Assert.Equal((EngineErrorKind.Limit, Errno.EDQUOT), (refused.Error!.Kind, refused.Error.Errno));
        Assert.Contains("limits.regions", refused.Error.Text, StringComparison.Ordinal);
        it.AssertZero(more, Page);
        Assert.Null(Engine.UnregisterAsync(it.Session, at, Page).Finish().Error);
        it.Register(more, Page);
        Assert.Equal(2, Alice.Usage.Regions);
    }

    [Fact]
    public void Bytes_beyond_the_limit_are_refused_and_leave_no_trace()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { RegisteredBytes = 8 * (long)Page });
        ServedClient it = Serve(policy: Zero);
        it.MapRegistered(5 * Page);
        (ulong more, _) = it.Client.Map("anon", 4 * Page);
        EngineResult refused = it.TryRegister(more, 4 * Page);
        Assert.Contains("limits.registeredBytes", refused.Error!.Text, StringComparison.Ordinal);
        Assert.Equal((1L, 5 * (long)Page), (Alice.Usage.Regions, Alice.Usage.RegisteredBytes));
        it.Register(more, 3 * Page);
    }

    [Fact]
    public void Faults_per_second_are_held_to_their_limit_and_only_the_tenants_own()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { FaultsPerSecond = Rate });
        AssertThrottled();
    }

    [Fact]
    public void Copied_bytes_per_second_are_held_to_their_limit_and_only_the_tenants_own()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { CopiedBytesPerSecond = Rate * (long)Page });
        AssertThrottled();
    }

    [Fact]
    public void Reloaded_limits_go_on_with_the_old_account()
    {
        ServedClient it = Serve(policy: Zero);
        it.MapRegistered(Page);
        Tenant reloaded = Alice.With(5, new TenantLimits { Sessions = 1 });
        Assert.Same(Alice.Usage, reloaded.Usage);
        ClientProcess other = StartClient();
        Assert.Equal(Errno.EDQUOT, Attach(other, other.OpenUffd(), reloaded).Error!.Errno);
        Assert.Null(Attach(other, other.OpenUffd(), Alice).Error);
    }

    // Faults that the loop reads in one turn, and that one more than the burst of a tenth of a second is served of at once. A thread that touches page
    // after page would be held to the limit by a busy machine already.
    private void AssertThrottled()
    {
        const int Faults = 60;
        const int AtOnce = 11;
        ScriptedSource source = Scripted(Faults * Page);
        source.InMemory = true;
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve();
        ServedClient free = Serve(Bob);
        ulong at = it.MapRegistered(Faults * Page, source);
        ulong atFree = free.MapRegistered(Faults * Page, source);
        PendingReply[] reads;
        long began;
        using (new HeldLoop(it.Session))
        {
            reads = [.. Reads(it, at), .. Reads(free, atFree)];
            Eventually.True(() => Pending(it) == Faults && Pending(free) == Faults, "all threads to wait");
            began = Stopwatch.GetTimestamp();
        }

        foreach (PendingReply read in reads)
            read.AwaitValue();
        Assert.True(Stopwatch.GetElapsedTime(began).TotalSeconds >= (Faults - AtOnce) / (double)Rate, "the limit was passed");
        it.AssertHolds(at, Faults * Page, source);
        free.AssertHolds(atFree, Faults * Page, source);
        Assert.InRange(CountersOf(Alice).Deferrals(DeferralReason.Throttled), Faults - AtOnce, 10_000);
        Assert.Equal(0, CountersOf(Bob).Deferrals(DeferralReason.Throttled));

        static IEnumerable<PendingReply> Reads(ServedClient client, ulong start) =>
            Enumerable.Range(0, Faults).Select(t => client.Client.Begin($"read {start + ((ulong)t * Page)}", t));
        static long Pending(ServedClient client) => UffdFdInfoReader.Read(client.Session.Uffd).Pending;
    }
}
