namespace UffdManager.Daemon.Supervision;

/// <summary>What became of a message to the service manager.</summary>
internal enum NotifyOutcome
{
    /// <summary>It is in the service manager's socket, and stays there whatever becomes of this process.</summary>
    Sent,

    /// <summary>The socket is full: it waits its turn in this process.</summary>
    Queued,

    /// <summary>Nobody will ever see it: there is no service manager, it is gone, or too much waits already.</summary>
    Refused,
}
