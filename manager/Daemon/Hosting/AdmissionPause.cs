namespace UffdManager.Daemon.Hosting;

/// <summary>Why nobody is let in at a socket for a moment; who connects waits in its queue. A closed set: it is a metric label.</summary>
public enum AdmissionPause
{
    /// <summary>The service manager does not read what it is to keep.</summary>
    StoreBehind,

    /// <summary>The manager has as many connections as it may, of all tenants.</summary>
    ListenerFull,

    /// <summary>Every tenant of the socket has as many connections as it may.</summary>
    ConnectionLimit,

    /// <summary>As many connections of the socket as there may be have not handed anything over yet.</summary>
    SocketFull,

    /// <summary>More strangers connect in a second than are let in.</summary>
    Pace,
}
