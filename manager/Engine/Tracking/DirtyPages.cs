namespace UffdManager.Engine.Tracking;

/// <summary>Answer to the question for changed pages.</summary>
/// <param name="Runs">By address.</param>
/// <param name="Next">Address to go on from; null when that was all.</param>
/// <param name="Error">Why nothing more can be told; null on success.</param>
public sealed record DirtyPages(IReadOnlyList<DirtyRun> Runs, ulong? Next, EngineError? Error);
