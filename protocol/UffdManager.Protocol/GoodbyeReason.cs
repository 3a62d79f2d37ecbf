namespace UffdManager.Protocol;

/// <summary>Why the manager closes a connection.</summary>
public enum GoodbyeReason : uint
{
    /// <summary>Not a reason.</summary>
    None = 0,

    /// <summary>The manager stops; a client that keeps its descriptor connects again.</summary>
    ShuttingDown = 1,

    /// <summary>The session has ended.</summary>
    SessionEnded = 2,

    /// <summary>The manager killed the process.</summary>
    Killed = 3,
}
