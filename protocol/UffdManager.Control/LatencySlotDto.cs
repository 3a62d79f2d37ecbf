namespace UffdManager.Control;

/// <summary>One slot of a history.</summary>
public sealed record LatencySlotDto
{
    /// <summary>Beginning of the slot.</summary>
    public required string At { get; init; }

    /// <summary>Faults by bucket.</summary>
    public required IReadOnlyList<long> Counts { get; init; }

    /// <summary>The boundary of its bucket; 0 without faults, nanoseconds.</summary>
    public required long P50Nanoseconds { get; init; }

    /// <summary>The boundary of its bucket, nanoseconds.</summary>
    public required long P99Nanoseconds { get; init; }
}
