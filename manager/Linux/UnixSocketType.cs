namespace UffdManager.Linux;

/// <summary>Kinds of AF_UNIX sockets.</summary>
public enum UnixSocketType
{
    /// <summary>A stream of bytes.</summary>
    [CName("SOCK_STREAM")] Stream = 1,

    /// <summary>Single messages, in order and never lost on a Unix socket.</summary>
    [CName("SOCK_DGRAM")] Datagram = 2,

    /// <summary>A connection that keeps the borders of messages.</summary>
    [CName("SOCK_SEQPACKET")] SeqPacket = 5,
}
