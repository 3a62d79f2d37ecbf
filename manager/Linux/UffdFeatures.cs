namespace UffdManager.Linux;

/// <summary>Features of UFFDIO_API (linux/userfaultfd.h); the kernel version that brought each is given.</summary>
[Flags]
public enum UffdFeatures : ulong
{
    /// <summary>No feature.</summary>
    None = 0,

    /// <summary>Write protection of anonymous memory (5.7).</summary>
    [CName("UFFD_FEATURE_PAGEFAULT_FLAG_WP")] PagefaultFlagWp = 1 << 0,

    /// <summary>A fork hands over the child's userfaultfd (4.11). The caller of UFFDIO_API needs CAP_SYS_PTRACE.</summary>
    [CName("UFFD_FEATURE_EVENT_FORK")] EventFork = 1 << 1,

    /// <summary>mremap keeps the registration and is reported (4.11); without it the moved range reads zeroes.</summary>
    [CName("UFFD_FEATURE_EVENT_REMAP")] EventRemap = 1 << 2,

    /// <summary>madvise DONTNEED, REMOVE and FREE are reported (4.11); fallocate's hole punching is not.</summary>
    [CName("UFFD_FEATURE_EVENT_REMOVE")] EventRemove = 1 << 3,

    /// <summary>Missing faults of hugetlb memory (4.11).</summary>
    [CName("UFFD_FEATURE_MISSING_HUGETLBFS")] MissingHugetlbfs = 1 << 4,

    /// <summary>Missing faults of shared memory (4.11).</summary>
    [CName("UFFD_FEATURE_MISSING_SHMEM")] MissingShmem = 1 << 5,

    /// <summary>munmap, and the unmapping half of mremap, are reported (4.11).</summary>
    [CName("UFFD_FEATURE_EVENT_UNMAP")] EventUnmap = 1 << 6,

    /// <summary>No messages; the faulting thread gets SIGBUS (4.14).</summary>
    [CName("UFFD_FEATURE_SIGBUS")] Sigbus = 1 << 7,

    /// <summary>Fault messages carry the thread id, as seen in the thread's own pid namespace (4.14).</summary>
    [CName("UFFD_FEATURE_THREAD_ID")] ThreadId = 1 << 8,

    /// <summary>Minor faults of hugetlb memory (5.13).</summary>
    [CName("UFFD_FEATURE_MINOR_HUGETLBFS")] MinorHugetlbfs = 1 << 9,

    /// <summary>Minor faults of shared memory (5.14).</summary>
    [CName("UFFD_FEATURE_MINOR_SHMEM")] MinorShmem = 1 << 10,

    /// <summary>Fault addresses are not rounded to the page (5.18).</summary>
    [CName("UFFD_FEATURE_EXACT_ADDRESS")] ExactAddress = 1 << 11,

    /// <summary>Write protection of shared and hugetlb memory (5.19).</summary>
    [CName("UFFD_FEATURE_WP_HUGETLBFS_SHMEM")] WpHugetlbfsShmem = 1 << 12,

    /// <summary>Write protection of anonymous pages that do not exist yet (6.4); without it they are skipped silently.</summary>
    [CName("UFFD_FEATURE_WP_UNPOPULATED")] WpUnpopulated = 1 << 13,

    /// <summary>UFFDIO_POISON (6.6).</summary>
    [CName("UFFD_FEATURE_POISON")] Poison = 1 << 14,

    /// <summary>The kernel resolves write-protect faults itself; PAGEMAP_SCAN tells what was written (6.7). Implies WpUnpopulated.</summary>
    [CName("UFFD_FEATURE_WP_ASYNC")] WpAsync = 1 << 15,

    /// <summary>UFFDIO_MOVE (6.8).</summary>
    [CName("UFFD_FEATURE_MOVE")] Move = 1 << 16,
}
