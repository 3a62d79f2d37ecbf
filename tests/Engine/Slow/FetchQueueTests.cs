using UffdManager.Engine.Fetch;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.Tests.Harness;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Slow;

/// <summary>The fetch queue alone: who is started when. Its loop never runs, so tickets that come back stay where they are.</summary>
public sealed class FetchQueueTests : IDisposable
{
    private const int Page = 4096;

    private readonly FaultEngine _engine = new(new EngineOptions { FaultLoops = 1 });
    private readonly FaultLoop _loop;
    private readonly List<Session> _sessions = [];
    private readonly List<ScriptedSource> _sources = [];

    public FetchQueueTests() => _loop = new FaultLoop(_engine, 0, new EngineOptions());

    [Fact]
    public void Threads_are_shared_by_weight()
    {
        using FetchQueue queue = new(threadLimit: 4, perTenant: 4);
        Session light = SessionOf("light", 1);
        Session heavy = SessionOf("heavy", 3);
        StepwiseSource lightSource = new();
        StepwiseSource heavySource = new();

        // All four threads are taken, two by each, and both tenants have more to do than will ever be started here.
        for (int i = 0; i < 2; i++)
        {
            queue.Enqueue(Ticket(light, lightSource));
            queue.Enqueue(Ticket(heavy, heavySource));
        }

        Eventually.True(() => lightSource.Begun == 2 && heavySource.Begun == 2, "four fetches");
        for (int i = 0; i < 40; i++)
        {
            queue.Enqueue(Ticket(light, lightSource));
            queue.Enqueue(Ticket(heavy, heavySource));
        }

        // One thread becomes free at a time, always one of the tenant that has more, so that neither ever runs none.
        for (int step = 1; step <= 32; step++)
        {
            (lightSource.Running > heavySource.Running ? lightSource : heavySource).Step();
            int expected = 4 + step;
            Eventually.True(() => lightSource.Begun + heavySource.Begun == expected, "the next fetch");
        }

        Assert.InRange(lightSource.Begun, 8, 11);
        Assert.InRange(heavySource.Begun, 25, 28);
        lightSource.Open();
        heavySource.Open();
    }

    [Fact]
    public void Tenant_that_was_idle_has_saved_no_credit()
    {
        using FetchQueue queue = new(threadLimit: 2, perTenant: 2);
        Session busy = SessionOf("busy", 1);
        Session late = SessionOf("late", 1);
        StepwiseSource busySource = new();
        StepwiseSource lateSource = new();
        for (int i = 0; i < 60; i++)
            queue.Enqueue(Ticket(busy, busySource));
        for (int i = 0; i < 20; i++)
        {
            busySource.Step();
            int expected = i + 3;
            Eventually.True(() => busySource.Begun >= expected, "the next fetch");
        }

        for (int i = 0; i < 20; i++)
            queue.Enqueue(Ticket(late, lateSource));
        Eventually.True(() => lateSource.Begun >= 1, "the latecomer's first fetch");
        int before = busySource.Begun;
        for (int step = 0; step < 12; step++)
        {
            int begun = busySource.Begun + lateSource.Begun;
            (busySource.Running > lateSource.Running ? busySource : lateSource).Step();
            Eventually.True(() => busySource.Begun + lateSource.Begun > begun, "the next fetch");
        }

        Assert.True(busySource.Begun - before >= 3, "the latecomer took every thread");
        busySource.Open();
        lateSource.Open();
    }

    [Fact]
    public void Idle_thread_that_is_caught_in_a_hanging_source_does_not_keep_the_next_ticket()
    {
        Session first = SessionOf("first", 1);
        Session second = SessionOf("second", 1);
        for (int round = 0; round < 20; round++)
        {
            // One thread is idle and both tickets arrive before it wakes up: it takes the first one and hangs.
            using FetchQueue queue = new(threadLimit: 4, perTenant: 4);
            ScriptedSource hanging = Source(1);
            ScriptedSource healthy = Source(2);
            ScriptedSource opening = Source(3);
            queue.Enqueue(Ticket(first, opening));
            Eventually.True(() => opening.Left == 1, "the thread to be there");
            hanging.Hold();
            queue.Enqueue(Ticket(first, hanging));
            queue.Enqueue(Ticket(second, healthy));
            Eventually.True(() => healthy.Left == 1, TimeSpan.FromSeconds(5), "the healthy source to be read");
            Eventually.True(() => hanging.Entered == 1, "the hanging source to be read");
            hanging.Release();
            Eventually.True(() => hanging.Left == 1, "the hanging source to return");
        }
    }

    [Fact]
    public void Tenant_never_runs_more_than_its_share_of_fetches()
    {
        using FetchQueue queue = new(threadLimit: 8, perTenant: 3);
        Session one = SessionOf("one", 1);
        StepwiseSource source = new();
        for (int i = 0; i < 10; i++)
            queue.Enqueue(Ticket(one, source));
        Eventually.True(() => source.Begun == 3, "three fetches");
        Assert.Equal(7, queue.Depth);
        source.Open();
        Eventually.True(() => source.Begun == 10, "the rest");
        Assert.InRange(source.MostRunning, 1, 3);
    }

    [Fact]
    public void Worker_that_returns_after_its_loop_is_gone_harms_nobody()
    {
        FetchQueue queue = new(threadLimit: 1, perTenant: 1);
        ScriptedSource source = Source(1);
        source.Hold();
        FaultLoop loop = new(_engine, 1, new EngineOptions());
        FetchTicket ticket = Ticket(SessionOf("one", 1), source);
        ticket.Loop = loop;
        queue.Enqueue(ticket);
        source.WaitForFetches(1);
        loop.Dispose();
        queue.Dispose();

        // The numbers that the loop had are free and taken by others; nothing of the late answer may reach them.
        using SafeEventFd one = EventFd.Create();
        using SafeEventFd two = EventFd.Create();
        using SafeEventFd three = EventFd.Create();
        source.Release();
        Eventually.True(() => ticket.Result == Errno.OK && source.Left == 1, "the late answer");
        Eventually.Never(() => Signalled(one) || Signalled(two) || Signalled(three), TimeSpan.FromMilliseconds(50), "a signal to somebody else");
    }

    public void Dispose()
    {
        foreach (ScriptedSource source in _sources)
            source.ReleaseForGood();
        foreach (Session session in _sessions)
        {
            session.Pages.Dispose();
            session.Lease.Dispose();
            session.Uffd.Dispose();
        }

        _loop.Dispose();
        _engine.Dispose();
    }

    private static bool Signalled(SafeEventFd eventFd)
    {
        using FdLease lease = eventFd.Lease();
        return FdPoll.WaitReadable(lease, TimeSpan.Zero);
    }

    private ScriptedSource Source(byte seed)
    {
        ScriptedSource source = new(Page, seed);
        _sources.Add(source);
        return source;
    }

    private Session SessionOf(string name, int weight)
    {
        Tenant tenant = new(name, weight, new TenantLimits());
        Policy policy = new() { Name = "p" };
        Session session = new(1, Userfaultfd.Open(), _loop, tenant, policy, "", UffdFeatures.None, 1, new TenantCounters(name, 0), new SessionLedger(StateMemory.Create(new MemoryGauge())));
        _sessions.Add(session);
        return session;
    }

    private FetchTicket Ticket(Session session, Sources.PageSource source) => new()
    {
        Session = session,
        Loop = _loop,
        Source = source,
        Start = 0,
        Length = Page,
        Buffer = NativeBuffer.Address,
        BufferBytes = Page,
    };

    private static class NativeBuffer
    {
        public static readonly nuint Address = NativePages.Map(Page);
    }
}
