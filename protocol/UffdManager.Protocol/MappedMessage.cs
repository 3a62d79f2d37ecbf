namespace UffdManager.Protocol;

/// <summary>The answer to MAP; descriptor 0 is the memfd.</summary>
/// <param name="MapId">Number of the object, for REGISTER.</param>
/// <param name="Length">Length of the object in bytes.</param>
/// <param name="Flags">Writable or not.</param>
public sealed record MappedMessage(ulong MapId, ulong Length, MapFlags Flags) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Mapped;

    /// <inheritdoc/>
    public override int Descriptors => 1;

    internal static MappedMessage Read(ref BodyReader reader)
    {
        ulong mapId = reader.U64();
        ulong length = reader.U64();
        MapFlags flags = (MapFlags)reader.Flags32((uint)MapFlags.Writable);
        reader.Reserved32();
        return new MappedMessage(mapId, length, flags);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(MapId);
        writer.U64(Length);
        writer.U32((uint)Flags);
        writer.Reserved32();
    }
}
