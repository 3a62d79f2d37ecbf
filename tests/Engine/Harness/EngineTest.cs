using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Engine.Tests.Harness;

/// <summary>
/// An engine with real client processes. At the end of every test all clients are killed, and then everything must be back: no
/// descriptor, session, region, byte or fetch may be left.
/// </summary>
public abstract class EngineTest : IDisposable
{
    protected const ulong Page = 4096;
    protected const ulong MiB = 1 << 20;

    private readonly DescriptorWatch _watch;
    private readonly List<IDisposable> _owned = [];
    private readonly List<ClientProcess> _clients = [];
    private readonly List<EngineEvent> _seen = [];
    private readonly Lock _lock = new();
    private FaultEngine? _engine;

    static EngineTest()
    {
        // The first child and the first epoll of a process leave descriptors of the runtime behind.
        using ClientProcess client = ClientProcess.Start();
        using FaultEngine engine = new(new EngineOptions { FaultLoops = 1 });
        engine.Start();
    }

    protected EngineTest()
    {
        _watch = DescriptorWatch.Start();
        Temp = new TempDirectory();
    }

    /// <summary>What a test that says nothing else gets. May be replaced before <see cref="Engine"/> is first used.</summary>
    protected EngineOptions Options { get; set; } = new()
    {
        FaultLoops = 2,
        FetchThreads = 4,
        FetchConcurrencyPerTenant = 4,
        LivenessSweep = TimeSpan.FromMilliseconds(50),
    };

    protected TempDirectory Temp { get; }

    protected Tenant Alice { get; set; } = new("alice", 1, new TenantLimits());

    protected Tenant Bob { get; set; } = new("bob", 1, new TenantLimits());

    protected static Policy Zero { get; } = new() { Name = "zero", Source = ZeroSource.Instance };

    /// <summary>The client names the source; whoever waits longer than any test is a failure of the test, not of the client.</summary>
    protected static Policy Named { get; } = new() { Name = "named", OnUnavailable = Verdict.Wait, RetryBackoff = TimeSpan.FromMilliseconds(1) };

    protected FaultEngine Engine
    {
        get
        {
            lock (_lock)
            {
                if (_engine is null)
                {
                    _engine = new FaultEngine(Options);
                    _engine.Start();
                }

                return _engine;
            }
        }
    }

    /// <summary>Closes the engine where it stands; the next use makes another one.</summary>
    protected void DropEngine()
    {
        lock (_lock)
        {
            _engine?.Dispose();
            _engine = null;
        }

        Alice = new Tenant(Alice.Name, Alice.Weight, Alice.Limits);
        Bob = new Tenant(Bob.Name, Bob.Weight, Bob.Limits);
    }

    /// <summary>Disposed after the clients and before the engine.</summary>
    protected T Own<T>(T resource)
        where T : IDisposable
    {
        _owned.Add(resource);
        return resource;
    }

    protected ClientProcess StartClient() => Track(ClientProcess.Start());

    /// <summary>Kills a process at the end of the test at the latest.</summary>
    protected ClientProcess Track(ClientProcess client)
    {
        _clients.Add(client);
        return client;
    }

    /// <summary>Starts a client and gives its memory to the engine.</summary>
    protected ServedClient Serve(Tenant? tenant = null, Policy? policy = null, bool keeper = false) =>
        Serve(StartClient(), tenant, policy, keeper);

    /// <summary>Gives one more userfaultfd of a client to the engine.</summary>
    protected ServedClient Serve(ClientProcess client, Tenant? tenant = null, Policy? policy = null, bool keeper = false)
    {
        SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None, out int number);
        AttachResult result = Attach(client, uffd, tenant, policy, keeper);
        Assert.Null(result.Error);
        return new ServedClient(Engine, client, result.Session!, number);
    }

    protected AttachResult Attach(ClientProcess client, SafeUffd uffd, Tenant? tenant = null, Policy? policy = null, bool keeper = false, bool apiDone = false, bool adopt = false, FaultEngine? engine = null) =>
        (engine ?? Engine).AttachAsync(new AttachRequest
        {
            Uffd = uffd,
            Pid = client.Pid,
            ProcessStartTime = StartTimeOf(client.Pid),
            PidFd = client.Handle.Duplicate<SafePidFd>(),
            Tenant = tenant ?? Alice,
            DefaultPolicy = policy ?? Named,
            Label = "test",
            ApiDone = apiDone,
            HasKeeper = keeper,
            Adopt = adopt,
        }).Finish();

    protected static ulong StartTimeOf(int pid)
    {
        Assert.True(ProcessInfo.TryReadStartTime(pid, out ulong startTime), $"process {pid} is gone");
        return startTime;
    }

    /// <summary>A file of random bytes as a source; the expected contents come with it.</summary>
    protected FileSource RandomFile(long bytes, int seed, out byte[] contents)
    {
        contents = new byte[bytes];
        new Random(seed).NextBytes(contents);
        string path = Temp.WriteFile($"image-{seed}-{bytes}", contents);
        return Own(new FileSource(FileIo.Open(path, OpenFlags.ReadOnly), path));
    }

    /// <summary>A source that does as it is told; released at the end of the test.</summary>
    protected ScriptedSource Scripted(ulong bytes, byte seed = 1) => Own(new ScriptedSource((long)bytes, seed));

    /// <summary>Waits for an event of the engine; those before it stay to be found.</summary>
    protected T WaitForEvent<T>(Func<T, bool>? which = null)
        where T : EngineEvent
    {
        T? found = null;
        Eventually.True(() => (found = Seen<T>(which)) is not null, $"the event {typeof(T).Name}");
        return found!;
    }

    /// <summary>The first such event so far, or null.</summary>
    protected T? Seen<T>(Func<T, bool>? which = null)
        where T : EngineEvent
    {
        while (Engine.Events.TryRead(out EngineEvent? next))
            _seen.Add(next);
        return _seen.OfType<T>().FirstOrDefault(it => which is null || which(it));
    }

    /// <summary>What the engine counted for a tenant, everything included that a client or the test has seen the effect of.</summary>
    protected Telemetry.TenantSnapshot CountersOf(Tenant tenant)
    {
        FinishTurns(Engine);
        return Engine.Counters().Single(it => it.Tenant == tenant.Name);
    }

    /// <summary>Takes the service times that were noted so far.</summary>
    protected int DrainSamples(Span<Telemetry.FaultSample> into)
    {
        FinishTurns(Engine);
        return Engine.DrainFaultSamples(into);
    }

    /// <summary>
    /// Asserts that something costs less than half a second. A busy machine makes one attempt slow, or some; what goes page by page through a terabyte
    /// is slow every time.
    /// </summary>
    protected static void AssertQuick(Action attempt)
    {
        const int Attempts = 10;
        const long Limit = 500_000_000;
        long took = long.MaxValue;
        for (int i = 0; i < Attempts && took >= Limit; i++)
        {
            long began = MonotonicClock.NowNanoseconds;
            attempt();
            took = MonotonicClock.NowNanoseconds - began;
        }

        Assert.True(took < Limit, $"{took} ns, and no other attempt took less than half a second");
    }

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        foreach (ScriptedSource source in _owned.OfType<ScriptedSource>())
            source.ReleaseForGood();

        // Children before their parents: the first of a family owns the socket.
        foreach (ClientProcess client in Enumerable.Reverse(_clients))
            client.Dispose();
        if (_engine is not null)
        {
            AssertNothingLeft(_engine);
            _engine.Dispose();
        }

        foreach (IDisposable resource in Enumerable.Reverse(_owned))
            resource.Dispose();
        Temp.Dispose();
        _watch.AssertUnchanged();
    }

    // A fault is counted after the system call that wakes its thread: the client may go on, answer, and be believed by the test, while the loop stands
    // between the two, for as long as the scheduler likes. A command that is given after the answer is run when the loop has come to the end of that.
    private static void FinishTurns(FaultEngine engine) => engine.PingAsync().Finish();

    private void AssertNothingLeft(FaultEngine engine)
    {
        Eventually.True(() => engine.Sessions().Count == 0, "the end of all sessions");
        foreach (TenantUsage usage in new[] { Alice.Usage, Bob.Usage })
            Eventually.True(() => usage is { Sessions: 0, Regions: 0, RegisteredBytes: 0, PagesInFlight: 0, Fetches: 0 }, "usage to return to 0");
        FinishTurns(engine);
        Assert.All(engine.Counters(), it => Assert.Equal(0, it.ResidentBytes));
    }
}
