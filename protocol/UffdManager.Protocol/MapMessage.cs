namespace UffdManager.Protocol;

/// <summary>Asks for a memfd that the manager fills.</summary>
/// <param name="Length">Length of the object in bytes.</param>
/// <param name="SourceOffset">Byte of the source at which the object begins.</param>
/// <param name="Flags">Options.</param>
/// <param name="Policy">Name of a policy; empty for the session's default.</param>
/// <param name="Source">Path of the page source; empty for the policy's or the descriptor.</param>
/// <param name="Name">Clients of one tenant that give the same name share the object; empty to share by source.</param>
public sealed record MapMessage(
    ulong Length, ulong SourceOffset, MapFlags Flags, string Policy, string Source, string Name)
    : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Map;

    /// <inheritdoc/>
    public override int Descriptors => (Flags & MapFlags.SourceFd) != MapFlags.None ? 1 : 0;

    internal static MapMessage Read(ref BodyReader reader)
    {
        ulong length = reader.U64();
        ulong sourceOffset = reader.U64();
        MapFlags flags = (MapFlags)reader.Flags32((uint)MapFlags.All);
        reader.Reserved32();
        string policy = reader.String(ProtocolLimits.MaxPolicy);
        string source = reader.String(ProtocolLimits.MaxSource);
        string name = reader.String(ProtocolLimits.MaxName);
        return new MapMessage(length, sourceOffset, flags, policy, source, name);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Length);
        writer.U64(SourceOffset);
        writer.U32((uint)Flags);
        writer.Reserved32();
        writer.String(Policy, ProtocolLimits.MaxPolicy);
        writer.String(Source, ProtocolLimits.MaxSource);
        writer.String(Name, ProtocolLimits.MaxName);
    }
}
