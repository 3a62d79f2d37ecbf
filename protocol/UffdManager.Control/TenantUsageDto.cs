namespace UffdManager.Control;

/// <summary>What a tenant holds.</summary>
public sealed record TenantUsageDto
{
    /// <summary>Sessions.</summary>
    public required long Sessions { get; init; }

    /// <summary>Regions.</summary>
    public required long Regions { get; init; }

    /// <summary>Registered bytes.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Has no limit of its own, bytes.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>Page table bytes.</summary>
    public required long PageTableBytes { get; init; }

    /// <summary>Pages in flight.</summary>
    public required long PagesInFlight { get; init; }

    /// <summary>Against fetchQueueDepth.</summary>
    public required long Fetches { get; init; }

    /// <summary>Connections.</summary>
    public required long Connections { get; init; }

    /// <summary>Files open as page sources.</summary>
    public required long Sources { get; init; }

    /// <summary>Their sizes, bytes.</summary>
    public required long SourceBytes { get; init; }
}
