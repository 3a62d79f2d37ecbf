namespace UffdManager.Engine.State;

/// <summary>What became of the sessions of an earlier manager.</summary>
/// <param name="Sessions">Served again.</param>
/// <param name="Failures">Sessions that could not be restored; their clients were killed.</param>
/// <param name="Gone">Sessions whose client had ended meanwhile.</param>
/// <param name="Foreign">Descriptors that belong to nothing that is known; they were closed.</param>
public sealed record RestoreReport(IReadOnlyList<RestoredSession> Sessions, IReadOnlyList<RestoreFailure> Failures, int Gone, int Foreign);
