namespace UffdManager.Daemon.Dashboard;

/// <summary>
/// Bounds of the dashboard: it needs no permission, so whoever reaches the port may open as many pages as he likes, and fault service must not notice.
/// </summary>
internal static class DashboardLimits
{
    /// <summary>Pages that are fed at a time; each has one stream.</summary>
    public const int Streams = 100;

    /// <summary>Sessions in one frame, those with most faults; the rest is a number.</summary>
    public const int Sessions = 50;

    /// <summary>Tenants in one frame, those with most faults; the rest is a number.</summary>
    public const int Tenants = 50;

    /// <summary>Regions of a session that are mapped in one answer.</summary>
    public const int RegionsPerPage = 12;

    /// <summary>Pages of regions that can be looked at; whoever has more regions than fit on them is shown by uffdctl.</summary>
    public const int RegionPages = 64;

    /// <summary>Parts that each region is counted in.</summary>
    public const int Cells = 256;

    /// <summary>Sessions whose regions may be asked about at a time; the rest is told to come back.</summary>
    public const int MemoryRequests = 64;

    /// <summary>Time between two frames.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>A reader that does not take a frame for this long is disconnected.</summary>
    public static readonly TimeSpan SlowReader = TimeSpan.FromSeconds(10);

    /// <summary>For this long everybody who asks about the same regions gets the same answer.</summary>
    public static readonly TimeSpan MemoryAge = TimeSpan.FromSeconds(1);

    /// <summary>Longest time that one answer counts pages; regions that do not fit in are left uncounted.</summary>
    public static readonly TimeSpan MemoryWork = TimeSpan.FromSeconds(2);

    /// <summary>After counting for some time, so many times longer nobody counts.</summary>
    public const int MemoryRest = 9;
}
