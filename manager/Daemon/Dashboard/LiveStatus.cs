using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>How the daemon is: what of <see cref="StatusDto"/> the page shows.</summary>
internal sealed record LiveStatus
{
    /// <summary>starting, ready, draining, stopping.</summary>
    public required string Phase { get; init; }

    /// <summary>Since the start of the process.</summary>
    public required double UptimeSeconds { get; init; }

    /// <summary>What is wrong.</summary>
    public required IReadOnlyList<string> Complaints { get; init; }

    /// <summary>What the kernel or missing privileges do not allow.</summary>
    public required IReadOnlyList<string> Losses { get; init; }

    /// <summary>What was taken over from the predecessor.</summary>
    public required RestoredDto? Restored { get; init; }

    /// <summary>Whether a successor would get the sessions.</summary>
    public required bool Kept { get; init; }

    /// <summary>The drain that is under way.</summary>
    public required DrainStateDto? Drain { get; init; }
}
