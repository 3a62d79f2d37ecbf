namespace UffdManager.Engine.State;

/// <summary>A session that could not be restored.</summary>
/// <param name="SessionId">Its number.</param>
/// <param name="Pid">Its process; 0 when not even that is known.</param>
/// <param name="Reason">What was wrong, for the log.</param>
/// <param name="Killed">Whether the process was killed; false: it was gone already, or could not be found.</param>
public sealed record RestoreFailure(long SessionId, int Pid, string Reason, bool Killed);
