namespace UffdManager.Linux;

/// <summary>One mapping of a process, from /proc/PID/smaps.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">The byte after the last.</param>
/// <param name="Protection">What may be done.</param>
/// <param name="Shared">True for MAP_SHARED.</param>
/// <param name="Offset">Offset in the file, bytes.</param>
/// <param name="Inode">Inode of the file; 0 for anonymous memory.</param>
/// <param name="Path">Path or <c>[name]</c>; empty for plain anonymous memory.</param>
/// <param name="PageSize">Bytes per page: 4096, or the huge page of hugetlb.</param>
/// <param name="UffdModes">What a userfaultfd (whose, is not told) has registered the mapping for.</param>
/// <param name="Flags">All two-letter VmFlags, separated by blanks.</param>
/// <param name="ResidentBytes">Bytes in memory.</param>
public sealed record VmaInfo(
    ulong Start,
    ulong End,
    PageProtection Protection,
    bool Shared,
    ulong Offset,
    ulong Inode,
    string Path,
    ulong PageSize,
    UffdRegisterModes UffdModes,
    string Flags,
    ulong ResidentBytes)
{
    /// <summary>Bytes.</summary>
    public ulong Length => End - Start;

    /// <summary>True when the two-letter flag (<c>ht</c> hugetlb, <c>mg</c> mergeable, …) is set.</summary>
    public bool HasFlag(string flag) => (" " + Flags + " ").Contains(" " + flag + " ", StringComparison.Ordinal);
}
