using UffdManager.Engine.Telemetry;

namespace UffdManager.Engine.WorkingSets;

/// <summary>What became of the runs of one source, since the engine began. Pages are base pages. Immutable.</summary>
public sealed record WorkingSetTotals
{
    private readonly long[] _runs = new long[Enum.GetValues<ReplayOutcome>().Length];
    private readonly long[] _pages = new long[Enum.GetValues<ReplayPages>().Length];

    /// <summary>How the last run went; null while none has ended.</summary>
    public ReplayOutcome? Last { get; private init; }

    /// <summary>Runs that ended in a way.</summary>
    public long Runs(ReplayOutcome outcome) => _runs[(int)outcome];

    /// <summary>Pages that replays treated in a way, or that became something.</summary>
    public long Pages(ReplayPages kind) => _pages[(int)kind];

    internal WorkingSetTotals With(RunReport run)
    {
        WorkingSetTotals next = new() { Last = run.Outcome };
        _runs.CopyTo(next._runs, 0);
        next._runs[(int)run.Outcome]++;
        for (int i = 0; i < _pages.Length; i++)
        {
            next._pages[i] = _pages[i] + run.Pages[i];
        }

        return next;
    }
}
