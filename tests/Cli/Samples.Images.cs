using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <content>Images, working sets and snapshots.</content>
internal static partial class Samples
{
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
}
