using UffdManager.Engine.Regions;
using UffdManager.Engine.Sources;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Where in the image the regions of a session lie. Addresses say nothing about a virtual machine: its monitor maps one slot of memory below the other, wherever there
/// is room, and what comes first for the guest is what comes first in the memory file.
/// </summary>
/// <param name="Layout">By what.</param>
/// <param name="Offsets">Byte offset of each region, in the order in which they were given.</param>
/// <param name="End">First byte after the last region.</param>
/// <param name="Bytes">Of an image that is no diff; not below the end, and with all that the source has.</param>
internal sealed record FrozenLayout(SnapshotLayout Layout, IReadOnlyList<long> Offsets, long End, long Bytes)
{
    /// <summary>Lays out.</summary>
    /// <param name="regions">By address.</param>
    public static FrozenLayout Of(IReadOnlyList<Region> regions) => TryBySource(regions) ?? ByAddress(regions);

    private static FrozenLayout? TryBySource(IReadOnlyList<Region> regions)
    {
        if (regions.Count == 0 || SourceOf(regions[0]) is not { Length: < long.MaxValue } source || !regions.All(region => ReferenceEquals(SourceOf(region), source)))
        {
            return null;
        }

        long[] offsets = [.. regions.Select(OffsetOf)];
        long end = 0;
        foreach (int index in Enumerable.Range(0, regions.Count).OrderBy(index => offsets[index]))
        {
            if (offsets[index] < end)
            {
                // Two pages of one offset, which may differ by now.
                return null;
            }

            end = offsets[index] + (long)regions[index].Length;
        }

        return new FrozenLayout(SnapshotLayout.Source, offsets, end, Math.Max(end, source.Length));
    }

    private static FrozenLayout ByAddress(IReadOnlyList<Region> regions)
    {
        long[] offsets = new long[regions.Count];
        long end = 0;
        for (int index = 0; index < offsets.Length; index++)
        {
            offsets[index] = end;
            end += (long)regions[index].Length;
        }

        return new FrozenLayout(SnapshotLayout.Address, offsets, end, end);
    }

    private static PageSource SourceOf(Region region) => region.Image?.Source ?? region.Source;

    private static long OffsetOf(Region region) => region.Image?.SourceOffsetOf(region.SourceOffset) ?? region.SourceOffset;
}
