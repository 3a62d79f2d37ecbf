namespace UffdManager.Protocol;

/// <summary>Asks for the state of the session, or of the tenant.</summary>
public sealed record StatusMessage : Message
{
    /// <inheritdoc/>
    public override MessageType Type => MessageType.Status;

    internal override void Write(ref BodyWriter writer)
    {
        // The body is empty.
    }
}
