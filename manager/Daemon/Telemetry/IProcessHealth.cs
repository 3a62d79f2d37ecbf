namespace UffdManager.Daemon.Telemetry;

/// <summary>Whether the process does its work, whatever its phase.</summary>
internal interface IProcessHealth
{
    /// <summary>What is wrong, one line each; empty = healthy.</summary>
    Task<IReadOnlyList<string>> ComplaintsAsync(CancellationToken cancellationToken);
}
