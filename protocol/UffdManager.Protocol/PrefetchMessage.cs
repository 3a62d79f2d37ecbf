namespace UffdManager.Protocol;

/// <summary>Asks that a range be populated.</summary>
/// <param name="Start">First address of the range.</param>
/// <param name="Length">Length of the range in bytes.</param>
public sealed record PrefetchMessage(ulong Start, ulong Length) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Prefetch;

    internal static PrefetchMessage Read(ref BodyReader reader)
    {
        ulong start = reader.U64();
        ulong length = reader.U64();
        return new PrefetchMessage(start, length);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Start);
        writer.U64(Length);
    }
}
