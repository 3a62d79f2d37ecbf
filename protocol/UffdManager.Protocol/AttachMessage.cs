namespace UffdManager.Protocol;

/// <summary>Brings the userfaultfd that a client made of the device descriptor.</summary>
/// <param name="Flags">A subset of the flags of HELLO; HasUffd is set.</param>
/// <param name="RequestedFeatures">UFFD_FEATURE_* bits; what the kernel lacks is left out.</param>
public sealed record AttachMessage(HelloFlags Flags, ulong RequestedFeatures) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Attach;

    /// <inheritdoc/>
    public override int Descriptors => (Flags & HelloFlags.HasUffd) != HelloFlags.None ? 1 : 0;

    internal static AttachMessage Read(ref BodyReader reader)
    {
        HelloFlags flags = (HelloFlags)reader.Flags32((uint)HelloFlags.Attach);
        reader.Reserved32();
        ulong requestedFeatures = reader.U64();
        return new AttachMessage(flags, requestedFeatures);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U32((uint)Flags);
        writer.Reserved32();
        writer.U64(RequestedFeatures);
    }
}
