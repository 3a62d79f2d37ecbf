namespace UffdManager.Linux;

/// <summary>What kind of access a page fault was.</summary>
[Flags]
public enum UffdFaultFlags : ulong
{
    /// <summary>A read of a missing page.</summary>
    None = 0,

    /// <summary>The access was a write.</summary>
    [CName("UFFD_PAGEFAULT_FLAG_WRITE")] Write = 1,

    /// <summary>The page is there and write-protected; always together with <see cref="Write"/>.</summary>
    [CName("UFFD_PAGEFAULT_FLAG_WP")] WriteProtect = 2,

    /// <summary>The page is in the page cache and only not mapped.</summary>
    [CName("UFFD_PAGEFAULT_FLAG_MINOR")] Minor = 4,
}
