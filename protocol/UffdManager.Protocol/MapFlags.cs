namespace UffdManager.Protocol;

/// <summary>Options of MAP, and of its answer.</summary>
[Flags]
public enum MapFlags : uint
{
    /// <summary>A read-only object from a path or from the policy.</summary>
    None = 0,

    /// <summary>Clients may write to the object.</summary>
    Writable = 1,

    /// <summary>Descriptor 0 is the page source. Not in the answer.</summary>
    SourceFd = 2,

    /// <summary>All bits with a meaning.</summary>
    All = 3,
}
