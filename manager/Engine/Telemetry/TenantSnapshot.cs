using UffdManager.Engine.Loops;

namespace UffdManager.Engine.Telemetry;

/// <summary>Everything counted for one tenant, summed over the fault loops. All but the gauges only ever grow.</summary>
public sealed class TenantSnapshot
{
    private readonly long[] _faults = new long[TenantCounters.Kinds * TenantCounters.Outcomes];
    private readonly long[] _events = new long[TenantCounters.EventKinds];
    private readonly long[] _deferrals = new long[TenantCounters.DeferralReasons];
    private readonly long[] _fetches = new long[TenantCounters.FetchOutcomes];
    private readonly long[] _replayPages = new long[TenantCounters.ReplayKinds];
    private readonly long[] _replayRuns = new long[TenantCounters.ReplayOutcomes];

    internal TenantSnapshot(string tenant, Policies.TenantUsage usage)
    {
        Tenant = tenant;
        Sessions = usage.Sessions;
        Regions = usage.Regions;
        RegisteredBytes = usage.RegisteredBytes;
        PagesInFlight = usage.PagesInFlight;
        FetchesInFlight = usage.Fetches;
    }

    /// <summary>Name of the tenant.</summary>
    public string Tenant { get; }

    /// <summary>Gauge: sessions.</summary>
    public long Sessions { get; }

    /// <summary>Gauge: regions.</summary>
    public long Regions { get; }

    /// <summary>Gauge: registered bytes.</summary>
    public long RegisteredBytes { get; }

    /// <summary>Gauge: bytes installed or found present, less those given back.</summary>
    public long ResidentBytes { get; private set; }

    /// <summary>Gauge: base pages being fetched.</summary>
    public long PagesInFlight { get; }

    /// <summary>Gauge: fetches queued or running.</summary>
    public long FetchesInFlight { get; }

    /// <summary>Bytes installed with contents.</summary>
    public long CopiedBytes { get; private set; }

    /// <summary>Bytes installed as zeros.</summary>
    public long ZeroedBytes { get; private set; }

    /// <summary>Claims of a range that another session of this manager holds.</summary>
    public long ManagerConflicts { get; private set; }

    /// <summary>Claims of a range that the kernel said is held by a userfaultfd outside.</summary>
    public long KernelConflicts { get; private set; }

    /// <summary>Pages poisoned.</summary>
    public long PoisonedPages { get; private set; }

    /// <summary>Clients killed.</summary>
    public long KilledClients { get; private set; }

    /// <summary>Fetches that reached a fetch thread.</summary>
    public long FetchesStarted { get; private set; }

    /// <summary>Time those waited for the thread, nanoseconds.</summary>
    public long FetchWaitNanoseconds { get; private set; }

    /// <summary>Faults by kind and outcome.</summary>
    public long Faults(FaultKind kind, FaultOutcome outcome) => _faults[((int)kind * TenantCounters.Outcomes) + (int)outcome];

    /// <summary>Events by kind.</summary>
    public long Events(EventKind kind) => _events[(int)kind];

    /// <summary>Deferrals by reason.</summary>
    public long Deferrals(DeferralReason reason) => _deferrals[(int)reason];

    /// <summary>Attempts to fetch by outcome.</summary>
    public long Fetches(FetchOutcome outcome) => _fetches[(int)outcome];

    /// <summary>Base pages of replays by what became of them.</summary>
    public long Replayed(ReplayPages kind) => _replayPages[(int)kind];

    /// <summary>Runs whose policy replays, by how they went; counted when they have been observed.</summary>
    public long Runs(ReplayOutcome outcome) => _replayRuns[(int)outcome];

    internal void Add(TenantCounters counters)
    {
        Sum(_faults, counters.Faults);
        Sum(_events, counters.Events);
        Sum(_deferrals, counters.Deferrals);
        Sum(_fetches, counters.Fetches);
        Sum(_replayPages, counters.ReplayPages);
        Sum(_replayRuns, counters.ReplayRuns);
        ResidentBytes += Volatile.Read(ref counters.ResidentBytes);
        CopiedBytes += Volatile.Read(ref counters.CopiedBytes);
        ZeroedBytes += Volatile.Read(ref counters.ZeroedBytes);
        ManagerConflicts += Volatile.Read(ref counters.ManagerConflicts);
        KernelConflicts += Volatile.Read(ref counters.KernelConflicts);
        PoisonedPages += Volatile.Read(ref counters.PoisonedPages);
        KilledClients += Volatile.Read(ref counters.KilledClients);
        FetchesStarted += Volatile.Read(ref counters.FetchesStarted);
        FetchWaitNanoseconds += Volatile.Read(ref counters.FetchWaitNanoseconds);
    }

    private static void Sum(long[] into, long[] from)
    {
        for (int i = 0; i < into.Length; i++)
        {
            into[i] += Volatile.Read(ref from[i]);
        }
    }
}
