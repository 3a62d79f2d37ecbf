namespace UffdManager.Daemon.Configuration;

/// <summary>A process that is expected at a socket. Pid and start time together name it for ever.</summary>
/// <param name="Pid">In the manager's pid namespace.</param>
/// <param name="StartTime">Clock ticks since boot.</param>
public sealed record SnapshotProcess(int Pid, ulong StartTime);
