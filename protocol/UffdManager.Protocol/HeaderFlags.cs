namespace UffdManager.Protocol;

/// <summary>Flags of a header.</summary>
[Flags]
public enum HeaderFlags : ushort
{
    /// <summary>A request, or an unsolicited message.</summary>
    None = 0,

    /// <summary>The answer to the request of the same id.</summary>
    Reply = 1,
}
