namespace UffdManager.Protocol;

/// <summary>What kind of failure an ERROR tells of.</summary>
public enum ErrorCode : uint
{
    /// <summary>Not a code.</summary>
    None = 0,

    /// <summary>The message breaks the specification.</summary>
    Protocol = 1,

    /// <summary>No such type of message in this version.</summary>
    UnknownType = 2,

    /// <summary>No common version.</summary>
    Version = 3,

    /// <summary>A limit of the tenant or of the manager.</summary>
    Limit = 4,

    /// <summary>No tenant matches the peer, or its process cannot be identified.</summary>
    RefusedPeer = 5,

    /// <summary>No such policy for this tenant.</summary>
    Policy = 6,

    /// <summary>The page source cannot be opened or is not allowed.</summary>
    Source = 7,

    /// <summary>Somebody holds the range.</summary>
    Conflict = 8,

    /// <summary>No such range, object or token.</summary>
    NotFound = 9,

    /// <summary>The kernel refused; errno is the kernel's.</summary>
    Kernel = 10,

    /// <summary>Not in this state of the connection.</summary>
    State = 11,

    /// <summary>The manager is stopping.</summary>
    ShuttingDown = 12,
}
