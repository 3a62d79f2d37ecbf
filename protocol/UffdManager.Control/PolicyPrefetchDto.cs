namespace UffdManager.Control;

/// <summary>What a policy installs ahead of the faults.</summary>
public sealed record PolicyPrefetchDto
{
    /// <summary>none, sequential, replay, full, replayThenFull.</summary>
    public required string Mode { get; init; }

    /// <summary>What a replay installs at most, bytes.</summary>
    public required long MaxBytes { get; init; }

    /// <summary>When a replay ends.</summary>
    public required double MaxTimeSeconds { get; init; }

    /// <summary>Pages of a replay that are fetched at a time.</summary>
    public required int MaxPagesInFlight { get; init; }

    /// <summary>For how long first touches are recorded.</summary>
    public required double RecordTimeSeconds { get; init; }
}
