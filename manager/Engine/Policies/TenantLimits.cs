namespace UffdManager.Engine.Policies;

/// <summary>What one tenant may make the engine hold or do. Hitting a limit is an error, or a wait, of that tenant alone.</summary>
public sealed record TenantLimits
{
    /// <summary>Sessions at a time.</summary>
    public int Sessions { get; init; } = 1024;

    /// <summary>Regions at a time, over all sessions.</summary>
    public int Regions { get; init; } = 65536;

    /// <summary>Registered bytes at a time, over all sessions.</summary>
    public long RegisteredBytes { get; init; } = 16L << 40;

    /// <summary>Native memory for the page tables of all sessions, bytes: one byte for each page that was touched or given back, in pieces of 512.</summary>
    public long PageTableBytes { get; init; } = 1L << 30;

    /// <summary>Pages being fetched from a slow source at a time; further faults wait.</summary>
    public int PagesInFlight { get; init; } = 8192;

    /// <summary>Fetches queued or running at a time; further faults wait.</summary>
    public int FetchQueueDepth { get; init; } = 1024;

    /// <summary>Faults resolved per second; 0 for no limit. Faults above it wait.</summary>
    public long FaultsPerSecond { get; init; }

    /// <summary>Bytes installed per second; 0 for no limit. Faults above it wait.</summary>
    public long CopiedBytesPerSecond { get; init; }

    /// <summary>Chunks of images in the cache that are charged to it, bytes; at the limit the tenant gives up chunks of its own.</summary>
    public long CacheBytes { get; init; } = 512L << 20;
}
