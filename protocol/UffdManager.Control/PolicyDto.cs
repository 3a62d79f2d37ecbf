namespace UffdManager.Control;

/// <summary>A policy as it is in use.</summary>
public sealed record PolicyDto
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Counts the reloads that changed it, from 1.</summary>
    public required int Version { get; init; }

    /// <summary>Where contents come from.</summary>
    public required PolicySourceDto Source { get; init; }

    /// <summary>Installed around a fault; 0 for the page alone, bytes.</summary>
    public required long FaultAroundBytes { get; init; }

    /// <summary>kill, poison, wait.</summary>
    public required string OnUnavailable { get; init; }

    /// <summary>Longest time that a fault waits for its page, without its waits for limits of the tenant.</summary>
    public required double DeadlineSeconds { get; init; }

    /// <summary>Before a failed read is tried again.</summary>
    public required double RetryBackoffSeconds { get; init; }

    /// <summary>How long a loop spins for the next fault.</summary>
    public required double BusyPollSeconds { get; init; }

    /// <summary>What is installed ahead of the faults.</summary>
    public required PolicyPrefetchDto Prefetch { get; init; }

    /// <summary>zero or source.</summary>
    public required string RemoveMeans { get; init; }

    /// <summary>Live sessions that have it as default, of any version.</summary>
    public required long Sessions { get; init; }
}
