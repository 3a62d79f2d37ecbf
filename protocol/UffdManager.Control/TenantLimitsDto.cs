namespace UffdManager.Control;

/// <summary>What a tenant may hold; 0 for a rate without limit.</summary>
public sealed record TenantLimitsDto
{
    /// <summary>Sessions.</summary>
    public required long Sessions { get; init; }

    /// <summary>Regions.</summary>
    public required long Regions { get; init; }

    /// <summary>Registered bytes.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Page table bytes.</summary>
    public required long PageTableBytes { get; init; }

    /// <summary>Pages in flight.</summary>
    public required long PagesInFlight { get; init; }

    /// <summary>Faults per second, per second.</summary>
    public required long FaultsPerSecond { get; init; }

    /// <summary>Copied bytes per second, bytes per second.</summary>
    public required long CopiedBytesPerSecond { get; init; }

    /// <summary>Fetch queue depth.</summary>
    public required long FetchQueueDepth { get; init; }

    /// <summary>Connections.</summary>
    public required long? Connections { get; init; }

    /// <summary>Sources.</summary>
    public required long? Sources { get; init; }

    /// <summary>Source bytes.</summary>
    public required long? SourceBytes { get; init; }

    /// <summary>Maps.</summary>
    public required long? Maps { get; init; }

    /// <summary>Map bytes.</summary>
    public required long? MapBytes { get; init; }

    /// <summary>Chunks of images in memory, bytes.</summary>
    public required long CacheBytes { get; init; }
}
