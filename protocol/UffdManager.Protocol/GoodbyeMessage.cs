namespace UffdManager.Protocol;

/// <summary>The last message of a connection that the manager closes.</summary>
/// <param name="ReasonValue">The reason as on the wire; may be one that this version does not name.</param>
/// <param name="Text">For people.</param>
public sealed record GoodbyeMessage(uint ReasonValue, string Text) : Message
{
    /// <summary>The reason; one that this version does not name is to be taken as <see cref="GoodbyeReason.SessionEnded"/>.</summary>
    public GoodbyeReason Reason => Enum.IsDefined((GoodbyeReason)ReasonValue) ? (GoodbyeReason)ReasonValue : GoodbyeReason.SessionEnded;

    /// <inheritdoc/>
    public override MessageType Type => MessageType.Goodbye;

    internal static GoodbyeMessage Read(ref BodyReader reader)
    {
        uint reasonValue = reader.U32();
        reader.Reserved32();
        string text = reader.String(ProtocolLimits.MaxText);
        return new GoodbyeMessage(reasonValue, text);
    }

    internal override void Write(ref BodyWriter writer)
    {
        writer.U32(ReasonValue);
        writer.Reserved32();
        writer.String(Text, ProtocolLimits.MaxText);
    }
}
