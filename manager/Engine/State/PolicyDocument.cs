using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;

namespace UffdManager.Engine.State;

/// <summary>
/// A policy as it was when a region was registered with it: regions keep it over a restart as over a reload. Ticks are of 100 ns.
/// </summary>
internal sealed record PolicyDocument
{
    public required string Name { get; init; }

    public int Version { get; init; }

    public int FaultAroundBytes { get; init; }

    public int OnUnavailable { get; init; }

    public long DeadlineTicks { get; init; }

    public long RetryBackoffTicks { get; init; }

    public long BusyPollTicks { get; init; }

    /// <summary>What builds that knew no other modes say for <see cref="PrefetchMode.Full"/>; written for them as well.</summary>
    public bool PrefetchOnRegister { get; init; }

    /// <summary>Null when such a build wrote it.</summary>
    public PrefetchDocument? Prefetch { get; init; }

    /// <summary>False when the client names the source.</summary>
    public bool HasSource { get; init; }

    /// <summary>Null, with <see cref="HasSource"/>, for zeros.</summary>
    public SourceDocument? Source { get; init; }

    public static PolicyDocument Of(Policy policy) => new()
    {
        Name = policy.Name,
        Version = policy.Version,
        FaultAroundBytes = policy.FaultAroundBytes,
        OnUnavailable = (int)policy.OnUnavailable,
        DeadlineTicks = policy.Deadline.Ticks,
        RetryBackoffTicks = policy.RetryBackoff.Ticks,
        BusyPollTicks = policy.BusyPoll.Ticks,
        PrefetchOnRegister = policy.Prefetch.Mode == PrefetchMode.Full,
        Prefetch = PrefetchDocument.Of(policy.Prefetch),
        HasSource = policy.Source is not null,
        Source = policy.Source is null or { IsZero: true } ? null : policy.Source.Describe(),
    };

    public Policy ToPolicy(PageSource? source) => new()
    {
        Name = Name,
        Version = Version,
        FaultAroundBytes = FaultAroundBytes,
        OnUnavailable = (Verdict)OnUnavailable,
        Deadline = TimeSpan.FromTicks(DeadlineTicks),
        RetryBackoff = TimeSpan.FromTicks(RetryBackoffTicks),
        BusyPoll = TimeSpan.FromTicks(BusyPollTicks),
        Prefetch = Prefetch?.ToPolicy() ?? PrefetchPolicy.None with { Mode = PrefetchOnRegister ? PrefetchMode.Full : PrefetchMode.None },
        Source = source,
    };
}
