using System.Runtime.CompilerServices;
using System.Threading.Channels;
using UffdManager.Control;
using UffdManager.Daemon.Dashboard;

namespace UffdManager.Daemon.Tests.Dashboard;

/// <summary>A daemon whose every sample the test makes.</summary>
internal sealed class FakeLiveSource : ILiveSource
{
    private readonly Channel<Func<LiveSample>> _samples = Channel.CreateUnbounded<Func<LiveSample>>();
    private int _looking;
    private int _looks;
    private int _counting;
    private int _counts;

    /// <summary>Who looks at this moment.</summary>
    public int Looking => Volatile.Read(ref _looking);

    /// <summary>How often somebody began to look.</summary>
    public int Looks => Volatile.Read(ref _looks);

    /// <summary>How often regions were counted.</summary>
    public int Counts => Volatile.Read(ref _counts);

    /// <summary>Most countings that there were at a time.</summary>
    public int CountsAtOnce { get; private set; }

    /// <summary>What counts the regions of a session.</summary>
    public Func<long, int, Task<SessionMemory?>> Memory { get; set; } = (session, page) => Task.FromResult<SessionMemory?>(MemoryOf(session, page));

    public LiveHello Hello { get; } = new()
    {
        Assets = "\"1\"",
        Version = "1.2.3",
        Pid = 42,
        StartedAt = "2026-01-31T12:00:00.000Z",
        Host = "here",
        Kernel = "6.18",
        IntervalSeconds = 1,
    };

    public static LiveSample Sample(string label = "test") => new(
        new LiveFrame
        {
            At = "2026-01-31T12:00:01.000Z",
            IntervalSeconds = 1,
            Status = new LiveStatus { Phase = "ready", UptimeSeconds = 1, Complaints = [], Losses = [], Restored = null, Kept = true, Drain = null },
            Totals = new TotalsDto
            {
                Sessions = 1,
                Regions = 0,
                RegisteredBytes = 0,
                ResidentBytes = 0,
                PageTableBytes = 0,
                PagesInFlight = 0,
                Fetches = 0,
                FetchesWaiting = 0,
                Faults = 0,
                CopiedBytes = 0,
                ZeroedBytes = 0,
                PoisonedPages = 0,
                KilledClients = 0,
                Latency = NoLatency,
            },
            Total = new TopTenantDto
            {
                Name = "",
                Sessions = 1,
                FaultsPerSecond = 0,
                P50Nanoseconds = 0,
                P99Nanoseconds = 0,
                CopiedBytesPerSecond = 0,
                ZeroedBytesPerSecond = 0,
                DeferralsPerSecond = 0,
                RegisteredBytes = 0,
                ResidentBytes = 0,
                PagesInFlight = 0,
                Queue = 0,
            },
            Tenants = [],
            OtherTenants = 0,
            Sessions = [SessionCalled(label)],
            OtherSessions = 0,
            Loops = [],
            Latency = [],
        },
        new LatencyHistoryDto { Tenant = null, SlotSeconds = 5, BoundariesNanoseconds = [1000], Slots = [] });

    public static SessionMemory MemoryOf(long session, int page) => new()
    {
        At = "2026-01-31T12:00:01.000Z",
        Session = new SessionDto
        {
            Id = session,
            Pid = 7,
            Command = "program",
            Tenant = "everybody",
            Label = "",
            State = "serving",
            Policy = "zero",
            PolicyVersion = 1,
            Parent = null,
            Keeper = false,
            Features = [],
            Loop = 0,
            StartedAt = "2026-01-31T12:00:00.000Z",
            UptimeSeconds = 1,
            TrackedSince = null,
            Work = null,
            Regions = 0,
            RegisteredBytes = 0,
            ResidentBytes = 0,
            Faults = 0,
            CopiedBytes = 0,
            ZeroedBytes = 0,
            Deferrals = 0,
            PoisonedPages = 0,
            PagesInFlight = 0,
            Deferred = 0,
            Latency = NoLatency,
        },
        TakenOver = false,
        First = page * DashboardLimits.RegionsPerPage,
        Regions = [],
        IsMore = false,
    };

    /// <summary>What whoever looks sees next.</summary>
    public void Emit(LiveSample sample) => _samples.Writer.TryWrite(() => sample);

    /// <summary>Whoever looks next fails.</summary>
    public void Fail(Exception e) => _samples.Writer.TryWrite(() => throw e);

    public async IAsyncEnumerable<LiveSample> SampleAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _looking);
        Interlocked.Increment(ref _looks);
        try
        {
            await foreach (Func<LiveSample> sample in _samples.Reader.ReadAllAsync(cancellationToken))
                yield return sample();
        }
        finally
        {
            Interlocked.Decrement(ref _looking);
        }
    }

    public async Task<SessionMemory?> MemoryAsync(long session, int page, CancellationToken cancellationToken)
    {
        CountsAtOnce = Math.Max(CountsAtOnce, Interlocked.Increment(ref _counting));
        Interlocked.Increment(ref _counts);
        try
        {
            return await Memory(session, page);
        }
        finally
        {
            Interlocked.Decrement(ref _counting);
        }
    }

    private static LatencyDto NoLatency => new() { Count = 0, P50Nanoseconds = 0, P90Nanoseconds = 0, P99Nanoseconds = 0, P999Nanoseconds = 0 };

    private static TopSessionDto SessionCalled(string label) => new()
    {
        Id = 1,
        Pid = 7,
        Command = "program",
        Label = label,
        Tenant = "everybody",
        Policy = "zero",
        State = "serving",
        FaultsPerSecond = 0,
        P50Nanoseconds = 0,
        P99Nanoseconds = 0,
        CopiedBytesPerSecond = 0,
        ZeroedBytesPerSecond = 0,
        DeferralsPerSecond = 0,
        Regions = 0,
        RegisteredBytes = 0,
        ResidentBytes = 0,
        PagesInFlight = 0,
        Queue = 0,
    };
}
