namespace UffdManager.Daemon.FrontDoors.Snapshots;

/// <summary>What a VM hands over: its memory, which is registered on a userfaultfd already.</summary>
/// <param name="Regions">At least one; disjoint, aligned to the page size.</param>
/// <param name="PageBytes">Of all regions.</param>
/// <param name="Uffd">Index of the userfaultfd among the descriptors. Others are not needed.</param>
internal sealed record MemoryHandOver(IReadOnlyList<MemoryRegion> Regions, ulong PageBytes, int Uffd);
