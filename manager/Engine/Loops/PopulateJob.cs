using UffdManager.Engine.Sessions;
using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine.Loops;

/// <summary>A range that is filled ahead of its faults, in slices that yield to them. Belongs to the fault loop.</summary>
internal sealed class PopulateJob(Session session, ulong start, ulong end, TaskCompletionSource<EngineResult>? completion)
{
    /// <summary>Fetches of one job that may be under way: enough to keep a fetch thread ahead of the copying, no more.</summary>
    public const int MaximumFetches = 4;

    public Session Session { get; } = session;

    public ulong Start { get; } = start;

    public ulong End { get; } = end;

    public TaskCompletionSource<EngineResult>? Completion { get; } = completion;

    /// <summary>Whether nobody asked for every page: what is known to be zeros is left to its faults. A policy that prefetches does not ask.</summary>
    public bool LeavesZerosOut => Completion is null;

    public ulong Cursor { get; set; } = start;

    /// <summary>Up to where it has been asked whether what the kernel said to be there is there.</summary>
    public ulong SuspectCursor { get; set; } = start;

    /// <summary>Whether one was not there, for which the pool of huge pages has no memory then.</summary>
    public bool IsPoolEmpty { get; set; }

    /// <summary>Where the piece ends that <see cref="Cursor"/> is in, of a replay.</summary>
    public ulong StepEnd { get; set; }

    /// <summary>What is installed, in which order; null for the whole range.</summary>
    public Replay? Replay { get; init; }

    public int FetchesInFlight { get; set; }

    public ulong InstalledBytes { get; set; }

    public long DueAt { get; set; }

    public EngineError? Error { get; set; }
}
