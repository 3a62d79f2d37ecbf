namespace UffdManager.Protocol;

/// <summary>Which fields of an error are valid.</summary>
[Flags]
public enum ErrorFlags : uint
{
    /// <summary>Only errno, code and text.</summary>
    None = 0,

    /// <summary>The holder fields as well.</summary>
    Holder = 1,
}
