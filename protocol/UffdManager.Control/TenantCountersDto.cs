namespace UffdManager.Control;

/// <summary>What was counted for a tenant since the daemon started.</summary>
public sealed record TenantCountersDto
{
    /// <summary>All of faultsByKind: faults that are over.</summary>
    public required long Faults { get; init; }

    /// <summary>By kind (missing, write_protect, minor), then by outcome as in METRICS.md.</summary>
    public required IReadOnlyDictionary<string, IReadOnlyDictionary<string, long>> FaultsByKind { get; init; }

    /// <summary>Installed with contents, bytes.</summary>
    public required long CopiedBytes { get; init; }

    /// <summary>Installed as zeros, bytes.</summary>
    public required long ZeroedBytes { get; init; }

    /// <summary>By kind: fork, remap, remove, unmap.</summary>
    public required IReadOnlyDictionary<string, long> Events { get; init; }

    /// <summary>By reason.</summary>
    public required IReadOnlyDictionary<string, long> Deferrals { get; init; }

    /// <summary>By outcome.</summary>
    public required IReadOnlyDictionary<string, long> Fetches { get; init; }

    /// <summary>Fetches that reached a thread.</summary>
    public required long FetchesStarted { get; init; }

    /// <summary>Time that those had waited.</summary>
    public required double FetchWaitSeconds { get; init; }

    /// <summary>Claims of a range that is held: noticed by the manager, or by the kernel.</summary>
    public required IReadOnlyDictionary<string, long> Conflicts { get; init; }

    /// <summary>Poisoned pages.</summary>
    public required long PoisonedPages { get; init; }

    /// <summary>Killed clients.</summary>
    public required long KilledClients { get; init; }
}
