using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <summary>Documents of a manager with a few tenants and sessions.</summary>
internal static partial class Samples
{
    public static LatencyDto Latency => new()
    { Count = 123456, P50Nanoseconds = 2300, P90Nanoseconds = 8100, P99Nanoseconds = 45600, P999Nanoseconds = 1234567 };

    public static LatencyDto NoLatency => new() { Count = 0, P50Nanoseconds = 0, P90Nanoseconds = 0, P99Nanoseconds = 0, P999Nanoseconds = 0 };

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
}
