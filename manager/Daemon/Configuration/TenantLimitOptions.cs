namespace UffdManager.Daemon.Configuration;

/// <summary>What a tenant may use: <c>tenants.NAME.limits</c>.</summary>
public sealed record TenantLimitOptions
{
    /// <summary>Live sessions.</summary>
    public required int Sessions { get; init; }

    /// <summary>Registered regions of all sessions.</summary>
    public required int Regions { get; init; }

    /// <summary>Bytes of all registered regions.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Bytes of the manager's memory for page tables of all sessions.</summary>
    public required long PageTableBytes { get; init; }

    /// <summary>Pages being fetched from slow sources at a time.</summary>
    public required int PagesInFlight { get; init; }

    /// <summary>Faults served in a second; 0 is unlimited.</summary>
    public required long FaultsPerSecond { get; init; }

    /// <summary>Bytes copied in a second; 0 is unlimited.</summary>
    public required long CopiedBytesPerSecond { get; init; }

    /// <summary>Reads of slow sources that wait or run.</summary>
    public required int FetchQueueDepth { get; init; }

    /// <summary>Open connections.</summary>
    public required int Connections { get; init; }

    /// <summary>Files open as page sources.</summary>
    public required int Sources { get; init; }

    /// <summary>Sizes of all files open as page sources, holes included.</summary>
    public required long SourceBytes { get; init; }

    /// <summary>Shared images.</summary>
    public required int Maps { get; init; }

    /// <summary>Bytes of all shared images.</summary>
    public required long MapBytes { get; init; }

    /// <summary>Bytes of chunks of images in memory that are charged to the tenant.</summary>
    public required long CacheBytes { get; init; }
}
