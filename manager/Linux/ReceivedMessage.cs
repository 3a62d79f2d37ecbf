namespace UffdManager.Linux;

/// <summary>What one recvmsg(2) brought.</summary>
/// <param name="Length">Bytes in the buffer.</param>
/// <param name="Truncated">MSG_TRUNC: the message was longer than the buffer, and the rest is lost.</param>
/// <param name="ControlTruncated">MSG_CTRUNC: descriptors were dropped, for lack of room, at the limit of open files, or by a security
/// module; the sender can bring this about.</param>
/// <param name="EndOfStream">The peer has closed. (An empty message of a SeqPacket socket looks the same.)</param>
public readonly record struct ReceivedMessage(int Length, bool Truncated, bool ControlTruncated, bool EndOfStream);
