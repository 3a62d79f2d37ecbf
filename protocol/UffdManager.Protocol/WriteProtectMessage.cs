namespace UffdManager.Protocol;

/// <summary>Protects the pages of a range against writing, or ends that.</summary>
/// <param name="Start">First address of the range.</param>
/// <param name="Length">Length of the range in bytes.</param>
/// <param name="Protect">Protect, or end the protection.</param>
public sealed record WriteProtectMessage(ulong Start, ulong Length, bool Protect) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.WriteProtect;

    internal static WriteProtectMessage Read(ref BodyReader reader)
    {
        ulong start = reader.U64();
        ulong length = reader.U64();
        bool protect = reader.U32(0, 1) == 1;
        reader.Reserved32();
        return new WriteProtectMessage(start, length, protect);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Start);
        writer.U64(Length);
        writer.U32(Protect ? 1u : 0u);
        writer.Reserved32();
    }
}
