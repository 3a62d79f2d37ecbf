namespace UffdManager.Control;

/// <summary>Percentiles of the time from the reading of a fault to its resolution.</summary>
public sealed record LatencyDto
{
    /// <summary>Faults measured; those that waited behind another fault of their page are not.</summary>
    public required long Count { get; init; }

    /// <summary>Median, nanoseconds.</summary>
    public required long P50Nanoseconds { get; init; }

    /// <summary>90th percentile, nanoseconds.</summary>
    public required long P90Nanoseconds { get; init; }

    /// <summary>99th percentile, nanoseconds.</summary>
    public required long P99Nanoseconds { get; init; }

    /// <summary>99.9th percentile, nanoseconds.</summary>
    public required long P999Nanoseconds { get; init; }
}
