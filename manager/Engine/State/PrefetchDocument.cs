using UffdManager.Engine.Policies;

namespace UffdManager.Engine.State;

/// <summary>The part of a policy about prefetching. Ticks are of 100 ns.</summary>
internal sealed record PrefetchDocument
{
    public int Mode { get; init; }

    public long MaximumBytes { get; init; }

    public long MaximumTimeTicks { get; init; }

    public int MaximumPagesInFlight { get; init; }

    public long RecordTimeTicks { get; init; }

    public static PrefetchDocument Of(PrefetchPolicy policy) => new()
    {
        Mode = (int)policy.Mode,
        MaximumBytes = policy.MaximumBytes,
        MaximumTimeTicks = policy.MaximumTime.Ticks,
        MaximumPagesInFlight = policy.MaximumPagesInFlight,
        RecordTimeTicks = policy.RecordTime.Ticks,
    };

    public PrefetchPolicy ToPolicy() => new()
    {
        Mode = (PrefetchMode)Mode,
        MaximumBytes = MaximumBytes,
        MaximumTime = TimeSpan.FromTicks(MaximumTimeTicks),
        MaximumPagesInFlight = MaximumPagesInFlight,
        RecordTime = TimeSpan.FromTicks(RecordTimeTicks),
    };
}
