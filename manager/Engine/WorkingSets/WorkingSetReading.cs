namespace UffdManager.Engine.WorkingSets;

/// <summary>What is known of one source's pages, for one tenant and one page size, at one moment.</summary>
public sealed record WorkingSetReading
{
    /// <summary>What it is of.</summary>
    public required TraceKey Key { get; init; }

    /// <summary>Where the file is; it may be another one by now.</summary>
    public required string? Location { get; init; }

    /// <summary>Pages that some run touched, of <see cref="TraceKey.PageBytes"/>.</summary>
    public required int KnownPages { get; init; }

    /// <summary>Those of them that the next run finds installed.</summary>
    public required int ReplayedPages { get; init; }

    /// <summary>Runs that it was learnt from, of earlier engines too.</summary>
    public required int Runs { get; init; }

    /// <summary>The longest that a run was observed.</summary>
    public required TimeSpan Observed { get; init; }

    /// <summary>Whether the next run is served on demand and learnt from, because the last replay was of little use.</summary>
    public required bool Relearns { get; init; }

    /// <summary>Pages that the last replays left out to see whether they are touched, as far as the runs lived to tell; older runs count less.</summary>
    public required int ProbesJudged { get; init; }

    /// <summary>Those of them that were touched.</summary>
    public required int ProbesTouched { get; init; }

    /// <summary>Runs under way.</summary>
    public required int LiveRuns { get; init; }

    /// <summary>What became of the runs since the engine began.</summary>
    public required WorkingSetTotals Totals { get; init; }
}
