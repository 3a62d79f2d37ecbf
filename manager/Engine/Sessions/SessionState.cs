namespace UffdManager.Engine.Sessions;

/// <summary>The life of a session.</summary>
public enum SessionState
{
    /// <summary>Taken over from an earlier manager; its faults wait until the client has said what its regions are.</summary>
    Adopting,

    /// <summary>Faults are served.</summary>
    Serving,

    /// <summary>Its client was killed on purpose; the session ends when the process is gone.</summary>
    Condemned,

    /// <summary>Over.</summary>
    Ended,
}
