using UffdManager.Control;

namespace UffdManager.Cli.Tests;

/// <content>Sessions, their regions, and what is under way with them.</content>
internal static partial class Samples
{
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

    private static long[] Cells(Func<int, long> pages) => [.. Enumerable.Range(0, 128).Select(pages)];
}
