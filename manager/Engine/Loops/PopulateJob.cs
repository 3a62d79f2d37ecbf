using UffdManager.Engine.Sessions;

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

    public ulong Cursor { get; set; } = start;

    public int FetchesInFlight { get; set; }

    public ulong InstalledBytes { get; set; }

    public long DueAt { get; set; }

    public EngineError? Error { get; set; }
}
