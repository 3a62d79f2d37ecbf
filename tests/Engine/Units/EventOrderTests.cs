using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Units;

/// <summary>
/// Events of different threads in the order in which the kernel may queue them, which is not the order in which they happened. A real client
/// whose madvise nobody acknowledges keeps its userfaultfd "changing", as it is while such events are outstanding.
/// </summary>
public sealed class EventOrderTests : IDisposable
{
    private const ulong Page = 4096;
    private const ulong Length = 4 * Page;
    private const ulong X = 0x10_0000_0000;
    private const ulong Y = 0x20_0000_0000;
    private const ulong Z = 0x30_0000_0000;
    private const ulong W = 0x40_0000_0000;

    private readonly FaultEngine _engine = new(new EngineOptions { FaultLoops = 1 });
    private readonly ClientProcess _client = ClientProcess.Start();
    private readonly ScriptedSource _ofA = new((long)Length, 1);
    private readonly ScriptedSource _ofB = new((long)Length, 2);
    private readonly FaultLoop _loop;
    private readonly Session _session;
    private readonly PendingReply _change;

    public EventOrderTests()
    {
        _loop = new FaultLoop(_engine, 0, new EngineOptions());
        SafeUffd uffd = _client.OpenUffd();
        Assert.Equal(Errno.OK, Userfaultfd.Api(uffd, UffdFeatures.EventRemove, out _, out _));
        (ulong at, _) = _client.Map("anon", Page);
        Assert.Equal(Errno.OK, Userfaultfd.Register(uffd, at, Page, UffdRegisterModes.Missing, out _));
        _change = _client.Begin($"madvise {at} {Page} 4", 1);
        Tenant tenant = new("alice", 1, new TenantLimits());
        _session = new Session(1, uffd, _loop, tenant, new Policy { Name = "p" }, "", UffdFeatures.EventUnmap | UffdFeatures.EventRemap, 1, new TenantCounters("alice", 0), new SessionLedger(StateMemory.Create(new MemoryGauge())))
        {
            State = SessionState.Serving,
        };
        Eventually.True(() => Userfaultfd.IsChanging(_session.Lease), "the change");

        // A: page 0 is there, page 1 was given back. B: page 0 was given back.
        Add(X, _ofA);
        Add(Z, _ofB);
        Assert.True(_session.Pages.TrySet(X, PageState.Present));
        Assert.True(_session.Pages.TrySet(X + Page, PageState.Removed));
        Assert.True(_session.Pages.TrySet(Z, PageState.Removed));
    }

    [Fact]
    public void Late_remap_of_the_former_owner_takes_his_own_contents_and_leaves_the_new_owners()
    {
        Remap(Z, X);
        Remap(X, Y);
        Unmap(X);
        Unmap(Z);
        AssertIsB(X);
        AssertIsA(Y);
        AssertRegions(X, Y);
    }

    [Fact]
    public void Late_unmap_after_a_remap_leaves_the_new_owner()
    {
        Remap(X, Y);
        Remap(Z, X);
        Unmap(Z);
        Unmap(X);
        AssertIsB(X);
        AssertIsA(Y);
        AssertRegions(X, Y);
    }

    [Fact]
    public void Late_munmap_leaves_the_new_owner()
    {
        Remap(Z, X);
        Unmap(Z);
        Unmap(X);
        AssertIsB(X);
        AssertRegions(X);

        // The next one is the new owner's.
        Unmap(X);
        AssertRegions();
    }

    [Fact]
    public void Late_munmap_of_more_than_was_taken_over_removes_the_rest()
    {
        Add(X + Length, _ofA);
        Remap(Z, X);
        Unmap(Z);
        Unmap(X, 2 * Length);
        AssertIsB(X);
        AssertRegions(X);
    }

    [Fact]
    public void New_owner_may_move_on_before_the_former_ones_unmap_is_known()
    {
        Remap(X, Y);
        Remap(Z, X);
        Remap(X, W);
        Unmap(X);
        Unmap(Z);
        Unmap(X);
        AssertIsB(W);
        AssertIsA(Y);
        AssertRegions(Y, W);
    }

    [Fact]
    public void Two_ranges_may_change_places()
    {
        Remap(X, Y);
        Remap(Z, X);
        Remap(Y, Z);
        Unmap(X);
        Unmap(Z);
        Unmap(Y);
        AssertIsB(X);
        AssertIsA(Z);
        AssertRegions(X, Z);
    }

    [Fact]
    public void Order_of_one_thread_needs_no_second_thought()
    {
        Remap(X, Y);
        Unmap(X);
        Remap(Z, X);
        Unmap(Z);
        Unmap(Y);
        AssertIsB(X);
        AssertRegions(X);
        Unmap(X);
        AssertRegions();
    }

    public void Dispose()
    {
        Assert.False(_change.IsCompleted);
        _client.Dispose();
        _session.Displaced.ForEach(range => range.Release());
        _session.Regions.Clear();
        _session.Pages.Dispose();
        _session.Lease.Dispose();
        _session.Uffd.Dispose();
        _ofA.Dispose();
        _ofB.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _ofA.AddReference());
        Assert.Throws<ObjectDisposedException>(() => _ofB.AddReference());
        _loop.Dispose();
        _engine.Dispose();
    }

    private void Add(ulong start, ScriptedSource source)
    {
        _session.Regions.Add(new Region
        {
            Start = start,
            End = start + Length,
            PageBytes = Page,
            Modes = UffdRegisterModes.Missing,
            Ioctls = UffdIoctls.None,
            Flags = RegionFlags.None,
            Policy = _session.DefaultPolicy,
            Source = source.AddReference(),
            SourceOffset = 0,
            Generation = (long)start,
        });
    }

    private void Remap(ulong from, ulong to)
    {
        UffdMessage message = new() { Event = UffdEventKind.Remap, From = from, To = to, Length = Length };
        _loop.ApplyEvent(_session, ref message);
    }

    private void Unmap(ulong start, ulong length = Length)
    {
        UffdMessage message = new() { Event = UffdEventKind.Unmap, Start = start, End = start + length };
        _loop.ApplyEvent(_session, ref message);
    }

    private void AssertIsA(ulong at)
    {
        Assert.Same(_ofA, _session.Regions.Find(at)?.Source);
        Assert.Equal((PageState.Present, PageState.Removed, PageState.Absent), (_session.Pages.Get(at), _session.Pages.Get(at + Page), _session.Pages.Get(at + (2 * Page))));
    }

    private void AssertIsB(ulong at)
    {
        Assert.Same(_ofB, _session.Regions.Find(at)?.Source);
        Assert.Equal((PageState.Removed, PageState.Absent, PageState.Absent), (_session.Pages.Get(at), _session.Pages.Get(at + Page), _session.Pages.Get(at + (2 * Page))));
    }

    private void AssertRegions(params ulong[] starts) => Assert.Equal(starts, _session.Regions.All.Select(region => region.Start));
}
