namespace UffdManager.Protocol;

/// <summary>Wakes the threads that wait for pages of a range.</summary>
/// <param name="Start">First address of the range.</param>
/// <param name="Length">Length of the range in bytes.</param>
public sealed record WakeMessage(ulong Start, ulong Length) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Wake;

    internal static WakeMessage Read(ref BodyReader reader)
    {
        ulong start = reader.U64();
        ulong length = reader.U64();
        return new WakeMessage(start, length);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Start);
        writer.U64(Length);
    }
}
