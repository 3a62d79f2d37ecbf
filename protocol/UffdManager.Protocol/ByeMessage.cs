namespace UffdManager.Protocol;

/// <summary>The client is done with its session.</summary>
public sealed record ByeMessage : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Bye;

    internal override void Write(ref BodyWriter writer)
    {
        // The body is empty.
    }
}
