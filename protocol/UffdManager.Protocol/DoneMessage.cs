namespace UffdManager.Protocol;

/// <summary>The answer to requests that return at most a number.</summary>
/// <param name="Value">Bytes installed for PREFETCH; else 0.</param>
public sealed record DoneMessage(ulong Value) : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Done;

    internal static DoneMessage Read(ref BodyReader reader)
    {
        ulong value = reader.U64();
        return new DoneMessage(value);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U64(Value);
    }
}
