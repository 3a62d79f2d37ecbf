namespace UffdManager.Control;

/// <summary>A session in one interval.</summary>
public sealed record TopSessionDto
{
    /// <summary>Id.</summary>
    public required long Id { get; init; }

    /// <summary>Pid.</summary>
    public required int Pid { get; init; }

    /// <summary>Command.</summary>
    public required string? Command { get; init; }

    /// <summary>Label.</summary>
    public required string Label { get; init; }

    /// <summary>Tenant.</summary>
    public required string Tenant { get; init; }

    /// <summary>Policy.</summary>
    public required string Policy { get; init; }

    /// <summary>State.</summary>
    public required string State { get; init; }

    /// <summary>Faults that were read in the interval, per second.</summary>
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

    /// <summary>Regions.</summary>
    public required long Regions { get; init; }

    /// <summary>Registered bytes.</summary>
    public required long RegisteredBytes { get; init; }

    /// <summary>Resident bytes.</summary>
    public required long ResidentBytes { get; init; }

    /// <summary>Pages in flight.</summary>
    public required long PagesInFlight { get; init; }

    /// <summary>Faults that wait for another try.</summary>
    public required long Queue { get; init; }
}
