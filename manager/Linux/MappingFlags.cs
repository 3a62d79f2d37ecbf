namespace UffdManager.Linux;

/// <summary>MAP_ flags of mmap(2), beside MAP_SHARED and MAP_PRIVATE which <see cref="NativePages"/> chooses.</summary>
[Flags]
public enum MappingFlags
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Changes reach the file and the other mappings of it; else they are private.</summary>
    [CName("MAP_SHARED")] Shared = 1,

    /// <summary>Exactly at the address given, replacing what is there.</summary>
    [CName("MAP_FIXED")] Fixed = 0x10,

    /// <summary>Count nothing against the overcommit limit.</summary>
    [CName("MAP_NORESERVE")] NoReserve = 0x4000,

    /// <summary>Fault all pages in.</summary>
    [CName("MAP_POPULATE")] Populate = 0x8000,

    /// <summary>Huge pages of the default size.</summary>
    [CName("MAP_HUGETLB")] HugeTlb = 0x40000,

    /// <summary>With <see cref="HugeTlb"/>: pages of 2 MiB.</summary>
    [CName("MAP_HUGE_2MB")] Huge2MiB = 21 << 26,

    /// <summary>Exactly at the address given, EEXIST when something is there (4.17).</summary>
    [CName("MAP_FIXED_NOREPLACE")] FixedNoReplace = 0x100000,
}
