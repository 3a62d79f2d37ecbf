namespace UffdManager.Protocol;

/// <summary>Puts a range of the client under the manager.</summary>
/// <param name="Start">First address of the range.</param>
/// <param name="Length">Length of the range in bytes.</param>
/// <param name="Modes">Which faults to handle.</param>
/// <param name="Flags">Options.</param>
/// <param name="SourceOffset">Byte of the source, or of the mapped object, at which the range begins.</param>
/// <param name="MapId">The object that the range maps, with FromMap; else 0.</param>
/// <param name="Policy">Name of a policy; empty for the session's default.</param>
/// <param name="Source">Path of the page source; empty for the policy's or the descriptor.</param>
public sealed record RegisterMessage(
    ulong Start, ulong Length, RegisterModes Modes, RegisterFlags Flags, ulong SourceOffset, ulong MapId,
    string Policy, string Source)
    : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Register;

    /// <inheritdoc/>
    public override int Descriptors => (Flags & RegisterFlags.SourceFd) != RegisterFlags.None ? 1 : 0;

    internal static RegisterMessage Read(ref BodyReader reader)
    {
        ulong start = reader.U64();
        ulong length = reader.U64();
        RegisterModes modes = (RegisterModes)reader.Flags32((uint)RegisterModes.All);
        RegisterFlags flags = (RegisterFlags)reader.Flags32((uint)RegisterFlags.All);
        ulong sourceOffset = reader.U64();
        ulong mapId = reader.U64();
        string policy = reader.String(ProtocolLimits.MaxPolicy);
        string source = reader.String(ProtocolLimits.MaxSource);
        return new RegisterMessage(start, length, modes, flags, sourceOffset, mapId, policy, source);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Start);
        writer.U64(Length);
        writer.U32((uint)Modes);
        writer.U32((uint)Flags);
        writer.U64(SourceOffset);
        writer.U64(MapId);
        writer.String(Policy, ProtocolLimits.MaxPolicy);
        writer.String(Source, ProtocolLimits.MaxSource);
    }
}
