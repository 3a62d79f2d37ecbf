namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Where in the image the regions of a session lie. Addresses say nothing about a virtual machine: its monitor maps one slot of memory below the other, wherever there
/// is room, and what comes first for the guest is what comes first in the memory file.
/// </summary>
/// <param name="Layout">By what.</param>
/// <param name="End">First byte after the last region.</param>
/// <param name="Bytes">Of an image that is no diff; not below the end, and with all that the source has.</param>
internal sealed record FrozenLayout(SnapshotLayout Layout, long End, long Bytes)
{
    /// <summary>Lays out: the regions know afterwards where they lie.</summary>
    /// <param name="regions">By address.</param>
    public static FrozenLayout Of(IReadOnlyList<FrozenRegion> regions) => TryBySource(regions) ?? ByAddress(regions);

    private static FrozenLayout? TryBySource(IReadOnlyList<FrozenRegion> regions)
    {
        SourcePart first = regions[0].Shown;
        if (first.SourceLength == long.MaxValue || !regions.All(region => ReferenceEquals(region.Shown.Source, first.Source)))
        {
            return null;
        }

        long end = 0;
        foreach (FrozenRegion region in regions.OrderBy(region => region.Shown.Offset))
        {
            if (region.Shown.Offset < end)
            {
                // Two pages of one offset, which may differ by now.
                return null;
            }

            region.FileOffset = region.Shown.Offset;
            end = region.Shown.Offset + (long)(region.End - region.Start);
        }

        return new FrozenLayout(SnapshotLayout.Source, end, Math.Max(end, first.SourceLength));
    }

    private static FrozenLayout ByAddress(IReadOnlyList<FrozenRegion> regions)
    {
        long end = 0;
        foreach (FrozenRegion region in regions)
        {
            region.FileOffset = end;
            end += (long)(region.End - region.Start);
        }

        return new FrozenLayout(SnapshotLayout.Address, end, end);
    }
}
