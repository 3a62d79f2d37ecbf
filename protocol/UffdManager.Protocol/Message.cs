namespace UffdManager.Protocol;

/// <summary>A message of the native protocol: a closed set, one sealed record each.</summary>
public abstract record Message
{
    private protected Message()
    {
    }

    /// <summary>The type that the header carries.</summary>
    public abstract MessageType Type { get; }

    /// <summary>How many descriptors travel with this message; follows from its flags.</summary>
    public virtual int Descriptors => 0;

    internal abstract void Write(ref BodyWriter writer);
}
