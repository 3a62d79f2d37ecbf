namespace UffdManager.Daemon.Hosting;

/// <summary>How a peer broke a hand-over protocol. A closed set: it is a metric label.</summary>
public enum ProtocolErrorReason
{
    /// <summary>The message does not begin with the protocol's magic number.</summary>
    BadMagic,

    /// <summary>The version of the message was not negotiated.</summary>
    BadVersion,

    /// <summary>The length in the header is not the length received.</summary>
    BadLength,

    /// <summary>The message was longer than a message may be.</summary>
    TooLong,

    /// <summary>Fewer or more descriptors came than the header says, or than the message may carry.</summary>
    BadDescriptorCount,

    /// <summary>Descriptors were lost on the way (MSG_CTRUNC): the peer sent too many, or the manager has none left.</summary>
    DescriptorsTruncated,

    /// <summary>A descriptor is not of the kind the message needs.</summary>
    BadDescriptor,

    /// <summary>The type of the message is not known.</summary>
    UnknownType,

    /// <summary>The body does not follow the message's layout.</summary>
    BadBody,

    /// <summary>The message is not allowed in the connection's state.</summary>
    BadState,

    /// <summary>The first message did not come in time.</summary>
    FirstMessageTimeout,

    /// <summary>The peer does not read its replies.</summary>
    PeerNotReading,
}
