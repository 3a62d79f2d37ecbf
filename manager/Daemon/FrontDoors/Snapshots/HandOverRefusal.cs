namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>Why a VM was not taken over. A closed set: it is a metric label.</summary>
public enum HandOverRefusal
{
    /// <summary>No snapshot of the socket is for this process.</summary>
    NotAllowed,

    /// <summary>The snapshot, the tenant or the manager has as many as it may.</summary>
    Limit,

    /// <summary>The manager is being drained or stops.</summary>
    Draining,

    /// <summary>The message is not a hand-over that is known, or its descriptors are not.</summary>
    BadMessage,

    /// <summary>The message did not come in time, or the peer closed before its end.</summary>
    Incomplete,

    /// <summary>The image cannot be opened, or the tenant may not use the policy.</summary>
    BadImage,

    /// <summary>The memory is not what the message says, or not in the image.</summary>
    BadMemory,

    /// <summary>The manager failed; its log says why.</summary>
    Failed,
}
