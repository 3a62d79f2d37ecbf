namespace UffdManager.Protocol;

/// <summary>The first message of a client.</summary>
/// <param name="MinVersion">Lowest version that the client speaks.</param>
/// <param name="MaxVersion">Highest version that the client speaks.</param>
/// <param name="Flags">What the client wants and brings.</param>
/// <param name="RequestedFeatures">UFFD_FEATURE_* bits; what the kernel lacks is left out.</param>
/// <param name="Token">The mailbox word of a forked child, or the resume token; else 0.</param>
/// <param name="Label">Shown to people.</param>
/// <param name="Policy">The session's default policy; empty for the tenant's.</param>
public sealed record HelloMessage(
    ushort MinVersion, ushort MaxVersion, HelloFlags Flags, ulong RequestedFeatures, ulong Token, string Label,
    string Policy)
    : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Hello;

    /// <inheritdoc/>
    public override int Descriptors => (Flags & HelloFlags.HasUffd) != HelloFlags.None ? 1 : 0;

    internal static HelloMessage Read(ref BodyReader reader)
    {
        ushort minVersion = reader.U16();
        ushort maxVersion = reader.U16();
        HelloFlags flags = (HelloFlags)reader.Flags32((uint)HelloFlags.All);
        ulong requestedFeatures = reader.U64();
        ulong token = reader.U64();
        string label = reader.String(ProtocolLimits.MaxLabel);
        string policy = reader.String(ProtocolLimits.MaxPolicy);
        return new HelloMessage(minVersion, maxVersion, flags, requestedFeatures, token, label, policy);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U16(MinVersion);
        writer.U16(MaxVersion);
        writer.U32((uint)Flags);
        writer.U64(RequestedFeatures);
        writer.U64(Token);
        writer.String(Label, ProtocolLimits.MaxLabel);
        writer.String(Policy, ProtocolLimits.MaxPolicy);
    }
}
