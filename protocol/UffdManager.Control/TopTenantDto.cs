namespace UffdManager.Control;

/// <summary>A tenant in one interval.</summary>
public sealed record TopTenantDto
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Live sessions.</summary>
    public required long Sessions { get; init; }

    /// <summary>Faults that ended in the interval, per second.</summary>
    public required double FaultsPerSecond { get; init; }

    /// <summary>Of the interval; 0 without faults, nanoseconds.</summary>
    public required long P50Nanoseconds { get; init; }

    /// <summary>Of the interval, nanoseconds.</summary>
    public required long P99Nanoseconds { get; init; }

    /// <summary>Copied bytes per second, bytes per second.</summary>
    public required double CopiedBytesPerSecond { get; init; }

    /// <summary>Zeroed bytes per second, bytes per second.</summary>
    public required double ZeroedBytesPerSecond { get; init; }

    /// <summary>Deferrals per second, per second.</summary>
    public required double DeferralsPerSecond { get; init; }

    /// <summary>Registered bytes.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Resident bytes.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>Pages in flight.</summary>
    public required long PagesInFlight { get; init; }

    /// <summary>Fetches queued or running.</summary>
    public required long Queue { get; init; }
}
