namespace UffdManager.Daemon.Hosting;

/// <summary>Why a peer was turned away before its first message. A closed set: it is a metric label.</summary>
public enum PeerRefusal
{
    /// <summary>No tenant matches and there is no default tenant.</summary>
    UnknownPeer,

    /// <summary>The tenant has as many connections as it may.</summary>
    ConnectionLimit,

    /// <summary>The listener has as many connections as it may, of all tenants.</summary>
    ListenerFull,

    /// <summary>The peer's process was gone before it could be identified.</summary>
    PeerGone,
}
