namespace UffdManager.Protocol;

/// <summary>The answer to REGISTER.</summary>
/// <param name="Ioctls">Which ioctls the kernel allows on the range, as UFFDIO_REGISTER returned them.</param>
/// <param name="RegionId">Number of the region.</param>
public sealed record RegisteredMessage(ulong Ioctls, ulong RegionId) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Registered;

    internal static RegisteredMessage Read(ref BodyReader reader)
    {
        ulong ioctls = reader.U64();
        ulong regionId = reader.U64();
        return new RegisteredMessage(ioctls, regionId);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Ioctls);
        writer.U64(RegionId);
    }
}
