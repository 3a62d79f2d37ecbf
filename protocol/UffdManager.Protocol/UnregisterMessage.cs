namespace UffdManager.Protocol;

/// <summary>Ends the manager's care of a range.</summary>
/// <param name="Start">First address of the range.</param>
/// <param name="Length">Length of the range in bytes.</param>
public sealed record UnregisterMessage(ulong Start, ulong Length) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Unregister;

    internal static UnregisterMessage Read(ref BodyReader reader)
    {
        ulong start = reader.U64();
        ulong length = reader.U64();
        return new UnregisterMessage(start, length);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Start);
        writer.U64(Length);
    }
}
