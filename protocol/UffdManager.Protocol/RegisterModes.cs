namespace UffdManager.Protocol;

/// <summary>Which faults a registered range is to report; the bits of UFFDIO_REGISTER.</summary>
[Flags]
public enum RegisterModes : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Access to a page that is not there.</summary>
    Missing = 1,

    /// <summary>Writing to a protected page.</summary>
    WriteProtect = 2,

    /// <summary>Access to a page that is in the page cache but not mapped.</summary>
    Minor = 4,

    /// <summary>All bits with a meaning.</summary>
    All = 7,
}
