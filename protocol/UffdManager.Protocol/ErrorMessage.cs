namespace UffdManager.Protocol;

/// <summary>The answer to a request that failed.</summary>
/// <param name="Errno">Errno, positive.</param>
/// <param name="CodeValue">The code as on the wire; may be one that this version does not name.</param>
/// <param name="Flags">Which fields are valid.</param>
/// <param name="HolderPid">Process that holds the range.</param>
/// <param name="HolderSession">Its session; 0 = outside this manager.</param>
/// <param name="HolderStart">First address that it holds.</param>
/// <param name="HolderLength">Length in bytes.</param>
/// <param name="HolderTenant">Its tenant.</param>
/// <param name="Text">For people.</param>
public sealed record ErrorMessage(
    int Errno, uint CodeValue, ErrorFlags Flags, int HolderPid, ulong HolderSession, ulong HolderStart,
    ulong HolderLength, string HolderTenant, string Text)
    : Message
{
    /// <summary>The code; one that this version does not name is to be taken as <see cref="ErrorCode.Kernel"/>.</summary>
    public ErrorCode Code => Enum.IsDefined((ErrorCode)CodeValue) ? (ErrorCode)CodeValue : ErrorCode.Kernel;

    /// <inheritdoc/>
    public override MessageType Type => MessageType.Error;

    internal static ErrorMessage Read(ref BodyReader reader)
    {
        int errno = reader.I32();
        uint codeValue = reader.U32();
        ErrorFlags flags = (ErrorFlags)reader.Flags32((uint)ErrorFlags.Holder);
        int holderPid = reader.I32();
        ulong holderSession = reader.U64();
        ulong holderStart = reader.U64();
        ulong holderLength = reader.U64();
        string holderTenant = reader.String(ProtocolLimits.MaxTenant);
        string text = reader.String(ProtocolLimits.MaxText);
        return new ErrorMessage(errno, codeValue, flags, holderPid, holderSession, holderStart, holderLength, holderTenant, text);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.I32(Errno);
        writer.U32(CodeValue);
        writer.U32((uint)Flags);
        writer.I32(HolderPid);
        writer.U64(HolderSession);
        writer.U64(HolderStart);
        writer.U64(HolderLength);
        writer.String(HolderTenant, ProtocolLimits.MaxTenant);
        writer.String(Text, ProtocolLimits.MaxText);
    }
}
