using UffdManager.Engine.Sources;

namespace UffdManager.Engine.Policies;

/// <summary>
/// How the faults of a region are resolved. Immutable: a reload of the configuration makes new policies, and live regions keep
/// the one they were registered with.
/// </summary>
public sealed record Policy
{
    /// <summary>Largest fault-around window, in bytes.</summary>
    public const int MaximumFaultAround = 2 * 1024 * 1024;

    /// <summary>Name in the configuration.</summary>
    public required string Name { get; init; }

    /// <summary>Counts the configuration reloads that changed this policy; starts at 1.</summary>
    public int Version { get; init; } = 1;

    /// <summary>Where contents come from; null when the client names the source at registration. Not owned.</summary>
    public PageSource? Source { get; init; }

    /// <summary>
    /// Bytes installed around a faulting page in one go: 0 for the single page, else a power of two from the page size to
    /// <see cref="MaximumFaultAround"/>. The window is aligned to its own size and never leaves the region.
    /// </summary>
    public int FaultAroundBytes { get; init; }

    /// <summary>What happens when a page cannot be had.</summary>
    public Verdict OnUnavailable { get; init; } = Verdict.Kill;

    /// <summary>Time from the reading of a fault to the verdict, when the source keeps failing or stays silent.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Wait before the first retry of a failed fetch; doubles with each attempt up to one second.</summary>
    public TimeSpan RetryBackoff { get; init; } = TimeSpan.FromMilliseconds(10);

    /// <summary>
    /// How long the fault loop may spin for the next fault before it sleeps; zero never spins. Adaptive: it spins only while
    /// faults really arrive within this time.
    /// </summary>
    public TimeSpan BusyPoll { get; init; }

    /// <summary>What is installed ahead of the faults.</summary>
    public PrefetchPolicy Prefetch { get; init; } = PrefetchPolicy.None;
}
