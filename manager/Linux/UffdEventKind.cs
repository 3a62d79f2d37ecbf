namespace UffdManager.Linux;

/// <summary>First byte of a message: what happened in the client.</summary>
public enum UffdEventKind : byte
{
    /// <summary>No message.</summary>
    None = 0,

    /// <summary>A thread waits for a page.</summary>
    [CName("UFFD_EVENT_PAGEFAULT")] PageFault = 0x12,

    /// <summary>The process forked; the message carries a new userfaultfd, created in the reader.</summary>
    [CName("UFFD_EVENT_FORK")] Fork = 0x13,

    /// <summary>mremap moved a range.</summary>
    [CName("UFFD_EVENT_REMAP")] Remap = 0x14,

    /// <summary>madvise discarded a range, which stays mapped and registered.</summary>
    [CName("UFFD_EVENT_REMOVE")] Remove = 0x15,

    /// <summary>A range was unmapped.</summary>
    [CName("UFFD_EVENT_UNMAP")] Unmap = 0x16,
}
