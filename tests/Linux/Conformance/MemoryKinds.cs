namespace UffdManager.Linux.Tests.Conformance;

/// <summary>The memory types of the matrix; a row lists those it applies to.</summary>
[Flags]
public enum MemoryKinds
{
    None = 0,
    Anonymous = 1,
    SharedMemfd = 2,
    PrivateMemfd = 4,
    Hugetlb = 8,
    Shmem = SharedMemfd | PrivateMemfd,
    Cached = Shmem | Hugetlb,
    Small = Anonymous | Shmem,
    All = Small | Hugetlb,
}
