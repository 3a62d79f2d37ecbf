using UffdManager.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Inspection;

/// <content>The daemon as a whole.</content>
internal sealed partial class Inspector
{
    private static readonly FaultKind[] s_kinds = Enum.GetValues<FaultKind>();
    private static readonly FaultOutcome[] s_outcomes = Enum.GetValues<FaultOutcome>();
    private static readonly DeferralReason[] s_reasons = Enum.GetValues<DeferralReason>();

    public async Task<StatusDto> StatusAsync(CancellationToken cancellationToken) => new()
    {
        Version = ProcessMetrics.Version,
        Pid = Environment.ProcessId,
        StartedAt = Words.Time(_startedAt),
        UptimeSeconds = time.GetElapsedTime(_started).TotalSeconds,
        Ready = readiness.IsReady,
        Phase = Phase,
        Complaints = await health.ComplaintsAsync(cancellationToken),
        Losses = kernel.Losses,
        Kernel = new KernelDto { Release = ProcessMetrics.KernelRelease(), Features = Words.Of(kernel.Features) },
        Sockets = sockets.Read(),
        Restored = Restored(),
        DescriptorStore = new DescriptorStoreDto { Kept = succession.IsKept },
        Drain = Drain(),
        Loops = Loops(),
        Totals = Totals(),
    };

    public IReadOnlyList<LoopDto> Loops()
    {
        IReadOnlyList<LoopSampler.LoopRate> rates = loops.Rates;
        return [.. engine.Loops().Select(loop =>
        {
            LoopSampler.LoopRate rate = loop.Index < rates.Count ? rates[loop.Index] : default;
            return new LoopDto
            {
                Index = loop.Index,
                Sessions = loop.Sessions,
                BusyRatio = Math.Round(rate.BusyRatio, 4),
                WakeupsPerSecond = Math.Round(rate.WakeupsPerSecond, 1),
                PageTableBytes = (long)loop.PageTableBytes,
                SamplesDropped = loop.SamplesDropped,
            };
        })];
    }

    public TotalsDto Totals()
    {
        pump.Drain();
        IReadOnlyList<TenantSnapshot> counters = engine.Counters();
        return new TotalsDto
        {
            Sessions = counters.Sum(tenant => tenant.Sessions),
            Regions = counters.Sum(tenant => tenant.Regions),
            RegisteredBytes = counters.Sum(tenant => tenant.RegisteredBytes),
            ResidentBytes = counters.Sum(tenant => tenant.ResidentBytes),
            PageTableBytes = KnownTenants().Sum(tenant => tenant.Usage.PageTableBytes),
            PagesInFlight = counters.Sum(tenant => tenant.PagesInFlight),
            Fetches = counters.Sum(tenant => tenant.FetchesInFlight),
            FetchesWaiting = engine.FetchQueueDepth,
            Faults = counters.Sum(FaultsOf),
            CopiedBytes = counters.Sum(tenant => tenant.CopiedBytes),
            ZeroedBytes = counters.Sum(tenant => tenant.ZeroedBytes),
            PoisonedPages = counters.Sum(tenant => tenant.PoisonedPages),
            KilledClients = counters.Sum(tenant => tenant.KilledClients),
            Latency = Latency(pump.ReadAll()),
        };
    }

    public DrainStateDto? Drain() => drain.Current is { } draining
        ? new DrainStateDto { Since = Words.Time(draining.Since), By = draining.By, Sessions = engine.Sessions().Count }
        : null;

    /// <summary>Live sessions by tenant.</summary>
    public IReadOnlyDictionary<string, long> SessionsByTenant() =>
        engine.Sessions().GroupBy(session => session.Tenant.Name, StringComparer.Ordinal).ToDictionary(group => group.Key, group => group.LongCount(), StringComparer.Ordinal);

    /// <summary>Faults that are over, of all kinds.</summary>
    public static long FaultsOf(TenantSnapshot tenant) => s_kinds.Sum(kind => s_outcomes.Sum(outcome => tenant.Faults(kind, outcome)));

    /// <summary>Deferrals for all reasons.</summary>
    public static long DeferralsOf(TenantSnapshot tenant) => s_reasons.Sum(tenant.Deferrals);

    private static LatencyDto Latency(ServiceTimes times) => new()
    {
        Count = times.Count,
        P50Nanoseconds = times.P50,
        P90Nanoseconds = times.P90,
        P99Nanoseconds = times.P99,
        P999Nanoseconds = times.P999,
    };

    private RestoredDto? Restored() => succession.Restored is not var (report, took) ? null : new RestoredDto
    {
        Sessions = report.Sessions.Count,
        Gone = report.Gone,
        Foreign = report.Foreign,
        Failures = [.. report.Failures.Select(failure => new RestoreFailureDto
        {
            Session = failure.SessionId,
            Pid = failure.Pid,
            Reason = failure.Reason,
            Killed = failure.Killed,
        })],
        Seconds = took.TotalSeconds,
    };
}
