namespace UffdManager.Daemon.Configuration;

/// <summary>How the pages of a region are served: section <c>policies.NAME</c>.</summary>
public sealed record PolicyOptions
{
    /// <summary>Where contents come from.</summary>
    public required PolicySourceOptions Source { get; init; }

    /// <summary>Bytes installed around a fault: 0 for the single page, else a power of two from 4096 to 2 MiB.</summary>
    public required int FaultAroundBytes { get; init; }

    /// <summary>What happens when a page cannot be had before <see cref="Deadline"/>.</summary>
    public required UnavailableAction OnUnavailable { get; init; }

    /// <summary>Longest time that a fault waits for its page, without its waits for limits of the tenant.</summary>
    public required TimeSpan Deadline { get; init; }

    /// <summary>Time before a failed read is tried again; doubles up to one second.</summary>
    public required TimeSpan RetryBackoff { get; init; }

    /// <summary>Time a fault loop spins for the next fault before it sleeps; zero never spins.</summary>
    public required TimeSpan BusyPoll { get; init; }

    /// <summary>What is installed ahead of the faults.</summary>
    public required PrefetchOptions Prefetch { get; init; }

    /// <summary>
    /// Whether a page that the client gave back (MADV_DONTNEED) reads as the source again, as in a private file mapping;
    /// false: as zeros, as in anonymous memory.
    /// </summary>
    public required bool RemoveMeansSource { get; init; }
}
