namespace UffdManager.Protocol;

/// <summary>Options of REGISTER.</summary>
[Flags]
public enum RegisterFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Descriptor 0 is the page source.</summary>
    SourceFd = 0x01,

    /// <summary>One page whose contents are the fork token.</summary>
    Mailbox = 0x02,

    /// <summary>After MADV_DONTNEED the source's contents come back; without it zeros do.</summary>
    RemoveMeansSource = 0x04,

    /// <summary>The range maps the object named by the map id.</summary>
    FromMap = 0x08,

    /// <summary>Pages are installed write-protected.</summary>
    WriteProtected = 0x10,

    /// <summary>All bits with a meaning.</summary>
    All = 0x1f,
}
