using UffdManager.Engine.Telemetry;

namespace UffdManager.Engine.WorkingSets;

/// <summary>What a run has shown of a working set.</summary>
internal sealed class RunReport
{
    /// <summary>Number of the run; 0 when it ended before it had one.</summary>
    public required int Number { get; init; }

    /// <summary>Whether the run was seen from its beginning.</summary>
    public required bool IsWhole { get; init; }

    /// <summary>What was replayed; null for a run that was served on demand.</summary>
    public required Trace? Replayed { get; init; }

    /// <summary>Whether the replay was given up because the run needed other pages.</summary>
    public required bool IsReplayUseless { get; init; }

    /// <summary>How long it was observed, milliseconds.</summary>
    public required long Milliseconds { get; init; }

    /// <summary>What the run's regions showed of the source.</summary>
    public required PageWindow[] Windows { get; init; }

    /// <summary>How it went.</summary>
    public required ReplayOutcome Outcome { get; init; }

    /// <summary>Base pages by <see cref="ReplayPages"/>.</summary>
    public required long[] Pages { get; init; }

    /// <summary>Owned by the report.</summary>
    public required TouchLog Touches { get; init; }
}
