namespace UffdManager.Daemon.Hosting;

/// <summary>Whether front doors are to refuse new sessions. Any thread.</summary>
public interface IDrainGate
{
    /// <summary>True while an operator runs the daemon empty: sessions that exist go on, new ones are refused.</summary>
    bool IsDraining { get; }
}
