using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <content>Frames of top.</content>
internal static partial class Samples
{
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
}
