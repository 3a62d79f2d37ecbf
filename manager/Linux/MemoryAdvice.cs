namespace UffdManager.Linux;

/// <summary>MADV_ constants of madvise(2) and process_madvise(2).</summary>
public enum MemoryAdvice
{
    /// <summary>No special treatment.</summary>
    [CName("MADV_NORMAL")] Normal = 0,

    /// <summary>Expect random access.</summary>
    [CName("MADV_RANDOM")] Random = 1,

    /// <summary>Expect sequential access.</summary>
    [CName("MADV_SEQUENTIAL")] Sequential = 2,

    /// <summary>Expect access soon.</summary>
    [CName("MADV_WILLNEED")] WillNeed = 3,

    /// <summary>Discard; the next access finds zeroes or the file.</summary>
    [CName("MADV_DONTNEED")] DontNeed = 4,

    /// <summary>Discard when memory is short.</summary>
    [CName("MADV_FREE")] Free = 8,

    /// <summary>Punch a hole into the shared memory underneath.</summary>
    [CName("MADV_REMOVE")] Remove = 9,

    /// <summary>Children do not inherit the range.</summary>
    [CName("MADV_DONTFORK")] DontFork = 10,

    /// <summary>Huge pages welcome.</summary>
    [CName("MADV_HUGEPAGE")] HugePage = 14,

    /// <summary>No huge pages.</summary>
    [CName("MADV_NOHUGEPAGE")] NoHugePage = 15,

    /// <summary>Leave the range out of core dumps.</summary>
    [CName("MADV_DONTDUMP")] DontDump = 16,

    /// <summary>Children find the range zeroed.</summary>
    [CName("MADV_WIPEONFORK")] WipeOnFork = 18,

    /// <summary>Reclaim these first.</summary>
    [CName("MADV_COLD")] Cold = 20,

    /// <summary>Reclaim now.</summary>
    [CName("MADV_PAGEOUT")] PageOut = 21,

    /// <summary>Fault all pages in, readable (5.14).</summary>
    [CName("MADV_POPULATE_READ")] PopulateRead = 22,

    /// <summary>Fault all pages in, writable (5.14).</summary>
    [CName("MADV_POPULATE_WRITE")] PopulateWrite = 23,

    /// <summary>Make huge pages of what is there, now (6.1).</summary>
    [CName("MADV_COLLAPSE")] Collapse = 25,
}
