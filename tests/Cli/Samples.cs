using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <summary>Documents of a manager with a few tenants and sessions.</summary>
internal static class Samples
{
    public static LatencyDto Latency { get; } = new()
    { Count = 123456, P50Nanoseconds = 2300, P90Nanoseconds = 8100, P99Nanoseconds = 45600, P999Nanoseconds = 1234567 };

    public static LatencyDto NoLatency { get; } = new() { Count = 0, P50Nanoseconds = 0, P90Nanoseconds = 0, P99Nanoseconds = 0, P999Nanoseconds = 0 };

    public static StatusDto Status { get; } = new()
    {
        Version = "0.1.0+abc",
        Pid = 4711,
        StartedAt = "2026-01-31T12:00:00.123Z",
        UptimeSeconds = 3 * 3600 + 720,
        Ready = true,
        Phase = "ready",
        Complaints = [],
        Losses = ["CAP_KILL is missing: clients of other users cannot be killed"],
        Kernel = new KernelDto { Release = "6.18.0", Features = ["event_fork", "poison"] },
        Sockets =
        [
            new SocketDto { Name = "native", Address = "/run/uffd-manager/manager.sock", Inherited = true },
            new SocketDto { Name = "metrics", Address = "http://127.0.0.1:9464/", Inherited = false },
        ],
        Restored = new RestoredDto
        {
            Sessions = 2,
            Gone = 1,
            Foreign = 0,
            Seconds = 0.0123,
            Failures = [new RestoreFailureDto { Session = 9, Pid = 99, Reason = "its state memory is corrupt", Killed = true }],
        },
        DescriptorStore = new DescriptorStoreDto { Kept = true },
        Drain = null,
        Loops = [Loop(0, 2, 0.123), Loop(1, 1, 0)],
        Totals = new TotalsDto
        {
            Sessions = 3,
            Regions = 17,
            RegisteredBytes = 5L << 30,
            ResidentBytes = 1234567890,
            PageTableBytes = 262144,
            PagesInFlight = 4,
            Fetches = 2,
            FetchesWaiting = 1,
            Faults = 1234567,
            CopiedBytes = 1L << 30,
            ZeroedBytes = 4096,
            PoisonedPages = 0,
            KilledClients = 0,
            Latency = Latency,
        },
    };

    public static SessionListDto Sessions { get; } = new()
    {
        Sessions =
        [
            Session(1),
            Session(2) with
            {
                Pid = 70123, Command = "redis-server", Tenant = "a-tenant-with-a-rather-long-name", State = "adopting", Latency = null, Parent = 1,
                TrackedSince = "2026-01-31T12:30:00.000Z", Work = "a snapshot is being taken",
                Label = "the label of a client that has much to say about itself", PoisonedPages = 3, RegisteredBytes = 3L << 40, ResidentBytes = 1L << 40, Faults = 98765432109,
            },
            Session(12345) with { Pid = 0, Command = null, State = "condemned", Latency = NoLatency, Label = "" },
        ],
        Next = null,
    };

    public static TrackingDto Tracking { get; } = new()
    { Session = 2, Since = "2026-01-31T12:30:00.000Z", Asynchronous = false, TrackedBytes = 64 << 20, UntrackedBytes = 4096 };

    public static SnapshotProgressDto Progress { get; } = new()
    {
        Session = 2,
        Out = "/srv/live/2.mem",
        TakenAt = "2026-01-31T12:31:00.000Z",
        TotalBytes = 1 << 30,
        DoneBytes = 256 << 20,
        WrittenBytes = 12 << 20,
        SavedPages = 17,
        ArmSeconds = 0.012,
        HoldSeconds = 0.00045,
        ThrottledSeconds = 2,
        ElapsedSeconds = 75.4,
        Done = false,
        Result = null,
        Reason = null,
    };

    public static RegionListDto Regions { get; } = new()
    {
        Regions =
        [
            Region("0x7f0000000000", 2 << 20),
            Region("0x7fff00000000", 1L << 40) with
            {
                Session = 2, PageBytes = 2 << 20, Modes = ["missing", "write_protect"], Flags = ["mailbox", "write_protected"],
                Source = "/var/lib/images/a-very-long-name-of-an-image-that-somebody-made.raw", SourceOffset = 1 << 20,
            },
        ],
        Next = null,
    };

    public static RegionMapDto Map { get; } = new()
    {
        Session = 1,
        Start = "0x7f0000000000",
        Length = 128 * 4096 * 4,
        PageBytes = 4096,
        Pages = 512,
        Cells = 128,
        PagesPerCell = 4,
        Absent = Cells(i => i < 64 ? 0 : i < 70 ? 2 : i is >= 90 and < 120 ? 0 : 4),
        Present = Cells(i => i < 60 ? 4 : i is >= 64 and < 70 ? 2 : 0),
        Removed = Cells(i => i is >= 90 and < 118 ? 4 : 0),
        InFlight = Cells(i => i is >= 60 and < 64 ? 4 : 0),
        Poisoned = Cells(i => i is 118 or 119 ? 4 : 0),
        Evicted = Cells(_ => 0),
        Dirty = Cells(i => i < 10 ? 1 : 0),
        Waited = Cells(i => i == 61 ? 3 : 0),
    };

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

    private static WorkingSetDto Set { get; } = new()
    {
        Tenant = "vms",
        Path = "/srv/images/warm-python.diff",
        PageBytes = 4096,
        KnownBytes = 24 << 20,
        ReplayedBytes = 22 << 20,
        Runs = 42,
        ObservedSeconds = 10,
        NextRun = "replay",
        LiveRuns = 2,
        LastOutcome = "replayed",
        Outcomes = new Dictionary<string, long> { ["recorded"] = 1, ["replayed"] = 40, ["limited"] = 0, ["useless"] = 1, ["failed"] = 0 },
        PrefetchedBytes = 880 << 20,
        UsedBytes = 850 << 20,
        WastedBytes = 30 << 20,
        LateBytes = 120 << 10,
        MissedBytes = 4 << 20,
    };

    public static WorkingSetListDto WorkingSets { get; } = new()
    {
        Problem = null,
        WorkingSets =
        [
            Set,
            Set with
            {
                Tenant = "batch", Path = "/srv/other.mem", PageBytes = 2 << 20, KnownBytes = 8 << 20, ReplayedBytes = 0, Runs = 1, NextRun = "record", LastOutcome = "useless",
                PrefetchedBytes = 6 << 20, UsedBytes = 0, WastedBytes = 6 << 20, LateBytes = 0,
            },
        ],
    };

    public static ImageListDto Images { get; } = new()
    {
        Problems = [],
        Images =
        [
            new ImageDto
            {
                Name = "clean",
                Base = null,
                Layers = [new ImageLayerDto { Image = "clean", Path = "/srv/images/clean.mem", Bytes = 1 << 30, HeaderSha256 = "00ff" }],
                PageBytes = 4096,
                Bytes = 1 << 30,
                AddedAt = "2026-01-31T12:00:00.000Z",
                State = "idle",
                Problem = null,
                Direct = false,
                IsDirect = null,
                DataBytes = null,
                CachedBytes = null,
                ReadBytes = null,
                Hits = null,
                Mapped = [],
                WorkingSets = null,
                WorkingSetsProblem = null,
            },
            new ImageDto
            {
                Name = "warm-python",
                Base = "clean",
                Layers =
                [
                    new ImageLayerDto { Image = "clean", Path = "/srv/images/clean.mem", Bytes = 1 << 30, HeaderSha256 = "00ff" },
                    new ImageLayerDto { Image = "warm-python", Path = "/srv/images/warm-python.diff", Bytes = 1 << 30, HeaderSha256 = "ff00" },
                ],
                PageBytes = 4096,
                Bytes = 1 << 30,
                AddedAt = "2026-01-31T12:00:01.000Z",
                State = "open",
                Problem = null,
                Direct = true,
                IsDirect = false,
                DataBytes = 300 << 20,
                CachedBytes = 24 << 20,
                ReadBytes = 25 << 20,
                Hits = 123456,
                Mapped =
                [
                    new MappedShareDto { Tenant = "batch", Objects = 1, SizeBytes = 1 << 30, MemoryBytes = 48 << 20 },
                    new MappedShareDto { Tenant = "vms", Objects = 2, SizeBytes = 2L << 30, MemoryBytes = 100 << 20 },
                ],
                WorkingSets = [Set],
                WorkingSetsProblem = null,
            },
        ],
        Cache = new ImageCacheDto { LimitBytes = 1 << 30, Bytes = 24 << 20, Hits = 123456, Bypasses = 0, Tenants = [] },
        Mapped = new MappedObjectsDto { LimitBytes = 256L << 30, SizeBytes = 3L << 30, MemoryBytes = 148 << 20, Tenants = [] },
    };

    public static ImageWarmingDto Warming(long done, string? result = null, string? problem = null) => new()
    {
        At = "2026-01-31T12:00:00.000Z",
        Done = done,
        Total = 64 << 20,
        CachedBytes = done,
        ElapsedSeconds = 1.5,
        Finished = result is not null,
        Result = result,
        Problem = problem,
    };

    public static SnapshotListDto Snapshots { get; } = new()
    {
        Snapshots =
        [
            Snapshot("web") with { Origin = "runtime", MaxVms = 64, Uid = 1500, Sessions = [7, 9], HandedOver = 12, Refused = 3, Match = new SnapshotMatchDto { Uids = [1500], Cgroups = ["/vms"], Pids = [4711] } },
            Snapshot("worker") with { State = "failed", Problem = "bind(/run/vms/worker.sock): EEXIST File exists", Policy = "image" },
        ],
    };

    public static TopFrameDto Frame { get; } = new()
    {
        At = "2026-01-31T12:00:01.5Z",
        IntervalSeconds = 1.0004,
        Phase = "ready",
        Total = TopTenant("", 12345.6),
        Tenants = [TopTenant("default", 12300), TopTenant("a-tenant-with-a-rather-long-name", 45.6)],
        Sessions = [TopSession(1, 100, 4L << 20), TopSession(2, 12000, 1L << 30), TopSession(3, 0, 8192) with { State = "adopting", Command = null, P50Nanoseconds = 0, P99Nanoseconds = 0 }],
        Loops = [new TopLoopDto { Index = 0, Sessions = 2, BusyRatio = 0.42 }, new TopLoopDto { Index = 1, Sessions = 1, BusyRatio = 0.001 }],
    };

    public static LogLevelsDto LogLevels { get; } = new()
    { Level = "debug", Configured = "information", Categories = new Dictionary<string, string> { ["UffdManager.Daemon.FrontDoors"] = "trace" } };

    public static ConfigurationCheckDto ValidCheck { get; } = new()
    { Valid = true, Errors = [], Warnings = ["listen.mode 0666 lets every user connect"], NeedsRestart = ["engine"], Origins = ["/etc/uffd-manager/config.json"] };

    public static ConfigurationCheckDto InvalidCheck { get; } = ValidCheck with
    {
        Valid = false,
        Errors =
        [
            new ConfigurationProblemDto { Key = "metrics.port", Problem = "\"-1\" is not allowed", Origin = "/etc/uffd-manager/config.json" },
            new ConfigurationProblemDto { Key = "tenants", Problem = "none is configured", Origin = null },
        ],
    };

    public static SessionDto Session(long id) => new()
    {
        Id = id,
        Pid = 1000 + (int)id,
        Command = "python3",
        Tenant = "default",
        Label = $"label-{id}",
        State = "serving",
        Policy = "zero",
        PolicyVersion = 1,
        Parent = null,
        Keeper = true,
        Features = ["event_fork", "missing_shmem"],
        Loop = 0,
        StartedAt = "2026-01-31T12:00:00.123Z",
        UptimeSeconds = 3725,
        TrackedSince = null,
        Work = null,
        Regions = 4,
        RegisteredBytes = 64 << 20,
        ResidentBytes = 12345678,
        Faults = 34567,
        CopiedBytes = 8 << 20,
        ZeroedBytes = 1 << 20,
        Deferrals = 5,
        PoisonedPages = 0,
        PagesInFlight = 2,
        Deferred = 1,
        Latency = Latency,
    };

    public static RegionDto Region(string start, long length) => new()
    {
        Session = 1,
        Start = start,
        Length = length,
        PageBytes = 4096,
        Modes = ["missing"],
        Flags = [],
        Policy = "zero",
        Source = "zero",
        SourceOffset = 0,
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

    private static PolicyPrefetchDto Prefetch(string mode) => new()
    {
        Mode = mode,
        MaxBytes = 1 << 30,
        MaxTimeSeconds = 10,
        MaxPagesInFlight = 1024,
        RecordTimeSeconds = 2.5,
    };

    public static SnapshotDto Snapshot(string name) => new()
    {
        Name = name,
        Origin = "configuration",
        State = "listening",
        Problem = null,
        Image = $"{name}/mem.bin",
        Tenant = "default",
        Policy = null,
        Socket = $"/run/vms/{name}.sock",
        Protocol = "firecracker",
        Uid = null,
        Gid = null,
        Mode = "0660",
        TimeoutSeconds = 10,
        MaxVms = 0,
        Match = new SnapshotMatchDto { Uids = [], Cgroups = [], Pids = [] },
        Sessions = [],
        Attaching = 0,
        HandedOver = 0,
        Refused = 0,
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

    public static TopSessionDto TopSession(long id, double faults, long resident) => new()
    {
        Id = id,
        Pid = 1000 + (int)id,
        Command = "python3",
        Label = "",
        Tenant = "default",
        Policy = "zero",
        State = "serving",
        FaultsPerSecond = faults,
        P50Nanoseconds = 2000 * id,
        P99Nanoseconds = 40000 * id,
        CopiedBytesPerSecond = 1 << 20,
        ZeroedBytesPerSecond = 0,
        DeferralsPerSecond = 0,
        Regions = 1,
        RegisteredBytes = 1L << 30,
        ResidentBytes = resident,
        PagesInFlight = 0,
        Queue = 10 - id,
    };

    public static TopTenantDto TopTenant(string name, double faults) => new()
    {
        Name = name,
        Sessions = 2,
        FaultsPerSecond = faults,
        P50Nanoseconds = 2300,
        P99Nanoseconds = 45600,
        CopiedBytesPerSecond = 12345678,
        ZeroedBytesPerSecond = 4096,
        DeferralsPerSecond = 0.3,
        RegisteredBytes = 5L << 30,
        ResidentBytes = 1 << 30,
        PagesInFlight = 4,
        Queue = 2,
    };

    public static DrainProgressDto Drain(long sessions, string? result = null) => new()
    {
        At = "2026-01-31T12:00:00Z",
        Sessions = sessions,
        Tenants = new Dictionary<string, long> { ["default"] = sessions },
        ElapsedSeconds = 1.5,
        Done = result is not null,
        Result = result,
    };

    private static LoopDto Loop(int index, long sessions, double busy) => new()
    { Index = index, Sessions = sessions, BusyRatio = busy, WakeupsPerSecond = 1234.5, PageTableBytes = 131072, SamplesDropped = 0 };

    private static long[] Cells(Func<int, long> pages) => [.. Enumerable.Range(0, 128).Select(pages)];
}
