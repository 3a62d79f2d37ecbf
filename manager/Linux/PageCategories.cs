namespace UffdManager.Linux;

/// <summary>PAGE_IS_ bits of PAGEMAP_SCAN.</summary>
[Flags]
public enum PageCategories : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>In a range registered for asynchronous write protection.</summary>
    [CName("PAGE_IS_WPALLOWED")] WriteProtectAllowed = 1,

    /// <summary>Written since it was protected last.</summary>
    [CName("PAGE_IS_WRITTEN")] Written = 2,

    /// <summary>Belongs to a file or to shared memory.</summary>
    [CName("PAGE_IS_FILE")] File = 4,

    /// <summary>In memory.</summary>
    [CName("PAGE_IS_PRESENT")] Present = 8,

    /// <summary>In swap.</summary>
    [CName("PAGE_IS_SWAPPED")] Swapped = 16,

    /// <summary>The shared page of zeroes.</summary>
    [CName("PAGE_IS_PFNZERO")] ZeroPage = 32,

    /// <summary>Mapped by a huge page-table entry.</summary>
    [CName("PAGE_IS_HUGE")] Huge = 64,

    /// <summary>Soft-dirty.</summary>
    [CName("PAGE_IS_SOFT_DIRTY")] SoftDirty = 128,
}
