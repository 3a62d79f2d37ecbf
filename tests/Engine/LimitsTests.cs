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
        Alice = new Tenant("alice", 1, new TenantLimits { FaultsPerSecond = 200 });
        AssertThrottled();
    }

    [Fact]
    public void Copied_bytes_per_second_are_held_to_their_limit_and_only_the_tenants_own()
    {
        Alice = new Tenant("alice", 1, new TenantLimits { CopiedBytesPerSecond = 200 * (long)Page });
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

    // 120 pages at 200 a second, less the burst of a tenth of a second, are half a second.
    private void AssertThrottled()
    {
        ScriptedSource source = Scripted(256 * Page);
        source.InMemory = true;
        Options = Options with { FaultLoops = 1 };
        ServedClient it = Serve();
        ServedClient free = Serve(Bob);
        ulong at = it.MapRegistered(120 * Page, source);
        ulong atFree = free.MapRegistered(256 * Page, source);
        long began = Stopwatch.GetTimestamp();
        PendingReply slow = it.Client.Begin($"touch {at} {120 * Page}", 1);
        ulong bystander = free.Client.Run($"touch {atFree} {256 * Page}");
        ulong throttled = slow.AwaitValue();
        Assert.True(bystander < throttled, $"the bystander took {bystander} ns for 256 pages, the other {throttled} ns for 120");
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 0.35, 10);
        it.AssertHolds(at, 120 * Page, source);
        Assert.InRange(CountersOf(Alice).Deferrals(DeferralReason.Throttled), 50, 10_000);
        Assert.Equal(0, CountersOf(Bob).Deferrals(DeferralReason.Throttled));
    }
}
