using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Inspection;

/// <content>Tenants and policies.</content>
internal sealed partial class Inspector
{
    /// <summary>The tenants of the configuration and those that still have sessions, by name.</summary>
    public TenantListDto Tenants()
    {
        pump.Drain();
        Dictionary<string, TenantGrant> grants = tenants.All.ToDictionary(grant => grant.Name, StringComparer.OrdinalIgnoreCase);
        ILookup<string, TenantSnapshot> counters = engine.Counters().ToLookup(tenant => tenant.Tenant, StringComparer.OrdinalIgnoreCase);
        return new TenantListDto
        {
            Tenants = [.. KnownTenants().Select(tenant => Document(tenant, grants.GetValueOrDefault(tenant.Name), [.. counters[tenant.Name]]))
                .OrderBy(tenant => tenant.Name, StringComparer.Ordinal)],
        };
    }

    /// <summary>One tenant; null when there is none of this name.</summary>
    public TenantDto? Tenant(string name) => Tenants().Tenants.FirstOrDefault(tenant => tenant.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>The policies of the configuration, by name.</summary>
    public PolicyListDto Policies()
    {
        Dictionary<string, long> sessions = engine.Sessions().GroupBy(session => session.DefaultPolicy.Name, StringComparer.OrdinalIgnoreCase)
            .ToDictionary(group => group.Key, group => group.LongCount(), StringComparer.OrdinalIgnoreCase);
        return new PolicyListDto
        {
            Policies = [.. policies.All.Select(policy => Document(policy.Options, policy.Grant, sessions.GetValueOrDefault(policy.Grant.Policy.Name)))
                .OrderBy(policy => policy.Name, StringComparer.Ordinal)],
        };
    }

    /// <summary>One policy; null when there is none of this name.</summary>
    public PolicyDto? Policy(string name) => Policies().Policies.FirstOrDefault(policy => policy.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>Service times over the last ten minutes.</summary>
    /// <param name="tenant">Whose; null for all. A tenant that is not known has none.</param>
    public LatencyHistoryDto LatencyHistory(string? tenant)
    {
        pump.Drain();
        long last = LatencySlots.NumberOf(UffdManager.Linux.MonotonicClock.NowNanoseconds);
        long[][] slots = statistics.History(tenant, last);
        return new LatencyHistoryDto
        {
            Tenant = tenant,
            SlotSeconds = LatencySlots.SlotLength.TotalSeconds,
            BoundariesNanoseconds = LatencySlots.Boundaries,
            Slots = [.. slots.Select((counts, index) => Document(last - slots.Length + 1 + index, counts))],
        };
    }

    // The configuration's objects have the limits of today; sessions keep those that they came with.
    private IReadOnlyList<Tenant> KnownTenants() =>
        [.. tenants.All.Select(grant => grant.Tenant).Concat(engine.Sessions().Select(session => session.Tenant)).DistinctBy(tenant => tenant.Name, StringComparer.OrdinalIgnoreCase)];

    private LatencySlotDto Document(long number, long[] counts)
    {
        DateTimeOffset at = Telemetry.WallClock.At(number * (long)LatencySlots.SlotLength.TotalNanoseconds, time);
        return new LatencySlotDto
        {
            At = Words.Time(at),
            Counts = counts,
            P50Nanoseconds = Percentile(counts, 0.5),
            P99Nanoseconds = Percentile(counts, 0.99),
        };
    }

    private static long Percentile(long[] counts, double fraction)
    {
        long total = counts.Sum();
        if (total == 0)
            return 0;

        long rank = Math.Max(1, (long)Math.Ceiling(total * fraction));
        int index = 0;
        for (long seen = counts[0]; seen < rank; seen += counts[index])
            index++;
        return LatencySlots.Boundaries[Math.Min(index, LatencySlots.Boundaries.Length - 1)];
    }

    private TenantDto Document(Tenant tenant, TenantGrant? grant, IReadOnlyList<TenantSnapshot> counters) => new()
    {
        Name = tenant.Name,
        Configured = grant is not null,
        Default = grant is { Options.Default: true },
        Match = new TenantMatchDto
        {
            Uids = [.. grant?.Options.Match.Uids.Select(uid => (long)uid) ?? []],
            Gids = [.. grant?.Options.Match.Gids.Select(gid => (long)gid) ?? []],
            Cgroups = grant?.Options.Match.Cgroups ?? [],
        },
        Weight = tenant.Weight,
        DefaultPolicy = grant?.Options.DefaultPolicy,
        Policies = grant?.Options.Policies ?? [],
        Limits = Limits(tenant.Limits, grant?.Limits),
        Usage = new TenantUsageDto
        {
            Sessions = tenant.Usage.Sessions,
            Regions = tenant.Usage.Regions,
            RegisteredBytes = tenant.Usage.RegisteredBytes,
            ResidentBytes = counters.Sum(counter => counter.ResidentBytes),
            PageTableBytes = tenant.Usage.PageTableBytes,
            PagesInFlight = tenant.Usage.PagesInFlight,
            Fetches = tenant.Usage.Fetches,
            Connections = grant?.OpenConnections ?? 0,
            Sources = grant?.Sources.Open ?? 0,
            SourceBytes = grant?.Sources.Bytes ?? 0,
        },
        Counters = Counters(counters),
        Latency = Latency(pump.Read(tenant.Name)),
    };

    private static TenantLimitsDto Limits(TenantLimits engineLimits, DaemonLimits? daemonLimits) => new()
    {
        Sessions = engineLimits.Sessions,
        Regions = engineLimits.Regions,
        RegisteredBytes = engineLimits.RegisteredBytes,
        PageTableBytes = engineLimits.PageTableBytes,
        PagesInFlight = engineLimits.PagesInFlight,
        FaultsPerSecond = engineLimits.FaultsPerSecond,
        CopiedBytesPerSecond = engineLimits.CopiedBytesPerSecond,
        FetchQueueDepth = engineLimits.FetchQueueDepth,
        Connections = daemonLimits?.Connections,
        Sources = daemonLimits?.Sources,
        SourceBytes = daemonLimits?.SourceBytes,
        Maps = daemonLimits?.Maps,
        MapBytes = daemonLimits?.MapBytes,
        CacheBytes = engineLimits.CacheBytes,
    };

    private static TenantCountersDto Counters(IReadOnlyList<TenantSnapshot> counters) => new()
    {
        Faults = counters.Sum(FaultsOf),
        FaultsByKind = s_kinds.ToDictionary(
            kind => Words.FaultKinds[(int)kind],
            kind => (IReadOnlyDictionary<string, long>)s_outcomes.ToDictionary(
                outcome => Words.FaultOutcomes[(int)outcome], outcome => counters.Sum(counter => counter.Faults(kind, outcome)), StringComparer.Ordinal),
            StringComparer.Ordinal),
        CopiedBytes = counters.Sum(counter => counter.CopiedBytes),
        ZeroedBytes = counters.Sum(counter => counter.ZeroedBytes),
        Events = Sums<EventKind>(Words.EventKinds, kind => counters.Sum(counter => counter.Events(kind))),
        Deferrals = Sums<DeferralReason>(Words.DeferralReasons, reason => counters.Sum(counter => counter.Deferrals(reason))),
        Fetches = Sums<FetchOutcome>(Words.FetchOutcomes, outcome => counters.Sum(counter => counter.Fetches(outcome))),
        FetchesStarted = counters.Sum(counter => counter.FetchesStarted),
        FetchWaitSeconds = counters.Sum(counter => counter.FetchWaitNanoseconds) / 1e9,
        Conflicts = new Dictionary<string, long>(StringComparer.Ordinal)
        {
            ["manager"] = counters.Sum(counter => counter.ManagerConflicts),
            ["kernel"] = counters.Sum(counter => counter.KernelConflicts),
        },
        PoisonedPages = counters.Sum(counter => counter.PoisonedPages),
        KilledClients = counters.Sum(counter => counter.KilledClients),
    };

    private static Dictionary<string, long> Sums<T>(string[] words, Func<T, long> value)
        where T : struct, Enum =>
        Enum.GetValues<T>().Zip(words).ToDictionary(pair => pair.Second, pair => value(pair.First), StringComparer.Ordinal);

    private static PolicyDto Document(PolicyOptions options, PolicyGrant grant, long sessions) => new()
    {
        Name = grant.Policy.Name,
        Version = grant.Policy.Version,
        Source = new PolicySourceDto
        {
            Kind = options.Source.Kind switch
            {
                PolicySourceKind.Zero => "zero",
                PolicySourceKind.File => "file",
                PolicySourceKind.Image => "image",
                _ => "client",
            },
            Path = options.Source.Path,
            Image = options.Source.Image,
            Offset = options.Source.Offset,
        },
        FaultAroundBytes = options.FaultAroundBytes,
        OnUnavailable = Words.Of(grant.Policy.OnUnavailable),
        DeadlineSeconds = options.Deadline.TotalSeconds,
        RetryBackoffSeconds = options.RetryBackoff.TotalSeconds,
        BusyPollSeconds = options.BusyPoll.TotalSeconds,
        Prefetch = new PolicyPrefetchDto
        {
            Mode = Words.Of(options.Prefetch.Mode),
            MaxBytes = options.Prefetch.MaxBytes,
            MaxTimeSeconds = options.Prefetch.MaxTime.TotalSeconds,
            MaxPagesInFlight = options.Prefetch.MaxPagesInFlight,
            RecordTimeSeconds = options.Prefetch.RecordTime.TotalSeconds,
        },
        RemoveMeans = options.RemoveMeansSource ? "source" : "zero",
        Sessions = sessions,
    };
}
