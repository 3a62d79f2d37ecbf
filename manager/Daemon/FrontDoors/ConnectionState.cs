namespace UffdManager.Daemon.FrontDoors;

/// <summary>Where a connection stands; the state machine of PROTOCOL.md, section 2.</summary>
internal enum ConnectionState
{
    /// <summary>No HELLO yet.</summary>
    New,

    /// <summary>The device was handed out, ATTACH is to come.</summary>
    Greeted,

    /// <summary>No session, status only.</summary>
    Control,

    /// <summary>Has a session.</summary>
    Attached,

    /// <summary>The last message is sent, or the peer is gone.</summary>
    Closed,
}
