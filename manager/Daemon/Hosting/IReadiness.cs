namespace UffdManager.Daemon.Hosting;

/// <summary>Whether the daemon accepts clients now.</summary>
public interface IReadiness
{
    /// <summary>True between the last front door's start and the beginning of the stop.</summary>
    bool IsReady { get; }

    /// <summary>The present phase in a few words: "starting", "ready", "stopping".</summary>
    string Reason { get; }
}
