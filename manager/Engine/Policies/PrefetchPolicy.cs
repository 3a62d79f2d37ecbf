namespace UffdManager.Engine.Policies;

/// <summary>What is installed ahead of the faults, and within which limits.</summary>
public sealed record PrefetchPolicy
{
    /// <summary>Nothing ahead of the faults.</summary>
    public static PrefetchPolicy None { get; } = new();

    /// <summary>What is installed.</summary>
    public PrefetchMode Mode { get; init; }

    /// <summary>Bytes that a replay may install in one session for one source. Default: 1 GiB.</summary>
    public long MaximumBytes { get; init; } = 1L << 30;

    /// <summary>Time from the registration of the first region on after which a replay ends, done or not. Default: 10 seconds.</summary>
    public TimeSpan MaximumTime { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Base pages that a replay may have on their way from the source at a time. Default: 1024.</summary>
    public int MaximumPagesInFlight { get; init; } = 1024;

    /// <summary>How long first touches are recorded, from the registration of the first region on. Default: 10 seconds.</summary>
    public TimeSpan RecordTime { get; init; } = TimeSpan.FromSeconds(10);

    internal bool Replays => Mode is PrefetchMode.Replay or PrefetchMode.ReplayThenFull;
}
