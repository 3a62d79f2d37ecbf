namespace UffdManager.Control;

/// <summary>The daemon at one moment.</summary>
public sealed record StatusDto
{
    /// <summary>Version of the daemon, with its commit.</summary>
    public required string Version { get; init; }

    /// <summary>Its process.</summary>
    public required int Pid { get; init; }

    /// <summary>When it started.</summary>
    public required string StartedAt { get; init; }

    /// <summary>Since then.</summary>
    public required double UptimeSeconds { get; init; }

    /// <summary>Whether new sessions are accepted.</summary>
    public required bool Ready { get; init; }

    /// <summary>starting, ready, draining, stopping.</summary>
    public required string Phase { get; init; }

    /// <summary>What is wrong: a fault loop that does not turn, for example. Empty when all is well.</summary>
    public required IReadOnlyList<string> Complaints { get; init; }

    /// <summary>What the kernel or missing privileges do not allow, with remedies.</summary>
    public required IReadOnlyList<string> Losses { get; init; }

    /// <summary>What it runs on.</summary>
    public required KernelDto Kernel { get; init; }

    /// <summary>Where it listens.</summary>
    public required IReadOnlyList<SocketDto> Sockets { get; init; }

    /// <summary>What this process took over from its predecessor; null when there was nothing to take over.</summary>
    public required RestoredDto? Restored { get; init; }

    /// <summary>Whether a successor would get the sessions.</summary>
    public required DescriptorStoreDto DescriptorStore { get; init; }

    /// <summary>The drain that is under way.</summary>
    public required DrainStateDto? Drain { get; init; }

    /// <summary>The fault loops.</summary>
    public required IReadOnlyList<LoopDto> Loops { get; init; }

    /// <summary>Sums over all tenants.</summary>
    public required TotalsDto Totals { get; init; }
}
