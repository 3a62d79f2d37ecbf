using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>A session and the pages of some of its regions.</summary>
internal sealed record SessionMemory
{
    /// <summary>When it was looked at.</summary>
    public required string At { get; init; }

    /// <summary>The session.</summary>
    public required SessionDto Session { get; init; }

    /// <summary>Whether this daemon has it from its predecessor.</summary>
    public required bool TakenOver { get; init; }

    /// <summary>Number of the first region below, from 0, by address.</summary>
    public required int First { get; init; }

    /// <summary>The regions by address. Where they lie is nobody's business who has no right to the process: it would undo address randomisation.</summary>
    public required IReadOnlyList<RegionMemory> Regions { get; init; }

    /// <summary>Whether there are more behind them.</summary>
    public required bool IsMore { get; init; }
}
