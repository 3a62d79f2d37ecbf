using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <content>Tenants and policies.</content>
internal static partial class Samples
{
    public static TenantListDto Tenants { get; } = new() { Tenants = [Tenant("default"), Tenant("a-tenant-with-a-rather-long-name") with { Configured = false }] };

    public static PolicyListDto Policies { get; } = new()
    {
        Policies =
        [
            Policy("zero"),
            Policy("image") with
            {
                Version = 3, FaultAroundBytes = 65536, OnUnavailable = "poison", RemoveMeans = "source", Prefetch = Prefetch("replay"), BusyPollSeconds = 0.0001,
                Source = new PolicySourceDto { Kind = "file", Path = "/var/lib/images/base.raw", Image = null, Offset = 1 << 20 },
            },
        ],
    };

    public static TenantDto Tenant(string name) => new()
    {
        Name = name,
        Configured = true,
        Default = name == "default",
        Weight = 2,
        DefaultPolicy = "zero",
        Policies = ["zero", "image"],
        Match = new TenantMatchDto { Uids = [1000, 1001], Gids = [], Cgroups = ["/machine.slice"] },
        Limits = new TenantLimitsDto
        {
            Sessions = 1024,
            Regions = 65536,
            RegisteredBytes = 16L << 40,
            PageTableBytes = 1 << 30,
            PagesInFlight = 8192,
            FaultsPerSecond = 0,
            CopiedBytesPerSecond = 100 << 20,
            FetchQueueDepth = 1024,
            Connections = 1024,
            Sources = 256,
            SourceBytes = 1L << 40,
            Maps = null,
            MapBytes = null,
            CacheBytes = 512 << 20,
        },
        Usage = new TenantUsageDto
        {
            Sessions = 1000,
            Regions = 12,
            RegisteredBytes = 3L << 30,
            ResidentBytes = 1 << 30,
            PageTableBytes = 65536,
            PagesInFlight = 3,
            Fetches = 2,
            Connections = 1024,
            Sources = 1,
            SourceBytes = 1 << 20,
        },
        Counters = new TenantCountersDto
        {
            Faults = 1234,
            FaultsByKind = new Dictionary<string, IReadOnlyDictionary<string, long>>
            {
                ["missing"] = new Dictionary<string, long> { ["copied"] = 1000, ["zeroed"] = 234, ["poisoned"] = 0 },
                ["minor"] = new Dictionary<string, long> { ["continued"] = 0 },
            },
            CopiedBytes = 4096000,
            ZeroedBytes = 958464,
            Events = new Dictionary<string, long> { ["fork"] = 1, ["remap"] = 0 },
            Deferrals = new Dictionary<string, long>(),
            Fetches = new Dictionary<string, long> { ["read"] = 10 },
            FetchesStarted = 10,
            FetchWaitSeconds = 0.001,
            Conflicts = new Dictionary<string, long> { ["manager"] = 0, ["kernel"] = 0 },
            PoisonedPages = 0,
            KilledClients = 1,
        },
        Latency = Latency,
    };

    public static PolicyDto Policy(string name) => new()
    {
        Name = name,
        Version = 1,
        Source = new PolicySourceDto { Kind = "zero", Path = null, Image = null, Offset = 0 },
        FaultAroundBytes = 0,
        OnUnavailable = "kill",
        DeadlineSeconds = 10,
        RetryBackoffSeconds = 0.01,
        BusyPollSeconds = 0,
        Prefetch = Prefetch("none"),
        RemoveMeans = "zero",
        Sessions = 2,
    };

    private static PolicyPrefetchDto Prefetch(string mode) => new()
    {
        Mode = mode,
        MaxBytes = 1 << 30,
        MaxTimeSeconds = 10,
        MaxPagesInFlight = 1024,
        RecordTimeSeconds = 2.5,
    };
}
