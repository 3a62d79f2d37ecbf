using UffdManager.Engine.Policies;

namespace UffdManager.Daemon.Configuration;

/// <summary>What is installed ahead of the faults: section <c>policies.NAME.prefetch</c>.</summary>
public sealed record PrefetchOptions
{
    /// <summary>What is installed.</summary>
    public required PrefetchMode Mode { get; init; }

    /// <summary>Bytes that a replay installs at most, for each session and source.</summary>
    public required long MaxBytes { get; init; }

    /// <summary>Time after the registration at which a replay ends.</summary>
    public required TimeSpan MaxTime { get; init; }

    /// <summary>Pages of a replay that are fetched at a time.</summary>
    public required int MaxPagesInFlight { get; init; }

    /// <summary>Time after the registration for which first touches are recorded.</summary>
    public required TimeSpan RecordTime { get; init; }

    internal PrefetchPolicy ToPolicy() => new()
    {
        Mode = Mode,
        MaximumBytes = MaxBytes,
        MaximumTime = MaxTime,
        MaximumPagesInFlight = MaxPagesInFlight,
        RecordTime = RecordTime,
    };
}
