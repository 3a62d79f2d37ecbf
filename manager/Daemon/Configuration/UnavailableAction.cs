namespace UffdManager.Daemon.Configuration;

/// <summary>What happens when a page cannot be had before the deadline.</summary>
public enum UnavailableAction
{
    /// <summary>The client's process is killed.</summary>
    Kill,

    /// <summary>The page is poisoned: an access raises SIGBUS in the client.</summary>
    Poison,

    /// <summary>The access waits and the source is asked again and again.</summary>
    Wait,
}
