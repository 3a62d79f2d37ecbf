namespace UffdManager.Control;

/// <summary>Service times over time, in slots of equal length.</summary>
public sealed record LatencyHistoryDto
{
    /// <summary>Whose; null for all.</summary>
    public required string? Tenant { get; init; }

    /// <summary>Length of a slot.</summary>
    public required double SlotSeconds { get; init; }

    /// <summary>Bucket i counts times up to boundary i and above boundary i-1; the last bucket, one more than there are boundaries, everything above, nanoseconds.</summary>
    public required IReadOnlyList<long> BoundariesNanoseconds { get; init; }

    /// <summary>Oldest first; those without faults too. The last one is not over yet.</summary>
    public required IReadOnlyList<LatencySlotDto> Slots { get; init; }
}
