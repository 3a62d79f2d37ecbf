using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Regions;

/// <summary>
/// The regions of one session, disjoint, ordered by address: an interval map. Owns its regions: what it drops it releases. Not thread safe.
/// </summary>
/// <param name="ledger">Where every change is recorded for the next manager; null for a map that nobody inherits.</param>
internal sealed class RegionMap(SessionLedger? ledger = null)
{
    private readonly List<Region> _regions = [];
    private Region? _last;

    public int Count => _regions.Count;

    public ulong Bytes { get; private set; }

    /// <summary>Another number whenever a range came, went or grew.</summary>
    public int Version { get; private set; }

    public IReadOnlyList<Region> All => _regions;

    /// <summary>The region that holds an address, or null.</summary>
    public Region? Find(ulong address)
    {
        Region? last = _last;
        if (last is not null && address >= last.Start && address < last.End)
        {
            return last;
        }

        int index = LowerBound(address);
        if (index < _regions.Count && _regions[index].Start <= address)
        {
            return _last = _regions[index];
        }

        return null;
    }

    /// <summary>The first region that overlaps [start, end), or null.</summary>
    public Region? FindOverlap(ulong start, ulong end)
    {
        int index = LowerBound(start);
        return index < _regions.Count && _regions[index].Start < end ? _regions[index] : null;
    }

    /// <summary>Puts the regions that overlap [start, end) into a list, by address.</summary>
    public void CollectOverlaps(ulong start, ulong end, List<Region> into)
    {
        into.Clear();
        for (int index = LowerBound(start); index < _regions.Count && _regions[index].Start < end; index++)
        {
            into.Add(_regions[index]);
        }
    }

    /// <summary>The last region that ends at or below an address, or null.</summary>
    public Region? FindBelow(ulong address)
    {
        int index = LowerBound(address) - 1;
        return index >= 0 ? _regions[index] : null;
    }

    /// <summary>Adds a region that overlaps no other.</summary>
    public void Add(Region region)
    {
        int index = LowerBound(region.Start);
        if (index < _regions.Count && _regions[index].Start < region.End)
        {
            throw new InvalidOperationException("regions of one session must not overlap");
        }

        _regions.Insert(index, region);
        Version++;
        Bytes += region.Length;
        if (region.Record == 0)
        {
            ledger?.Record(region);
        }
    }

    /// <summary>
    /// Takes [start, end) out. Regions that it cuts are replaced by what is left of them, which keeps their generation: what a fetch brings for
    /// those pages is as good as before.
    /// </summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after.</param>
    public void Cut(ulong start, ulong end)
    {
        _last = null;
        Version++;
        int index = LowerBound(start);
        while (index < _regions.Count && _regions[index].Start < end)
        {
            Region region = _regions[index];
            _regions.RemoveAt(index);
            Bytes -= Math.Min(end, region.End) - Math.Max(start, region.Start);
            if (region.Start < start)
            {
                InsertPiece(index++, region, region.Derive(region.Start, start, region.SourceOffset, region.Generation));
            }

            if (end < region.End)
            {
                InsertPiece(index++, region, region.Derive(end, region.End, region.OffsetOf(end), region.Generation));
            }

            CrashPoints.Visit(CrashPoint.CutHalf);
            ledger?.Forget(region);
            region.Release();
        }
    }

    /// <summary>Changes flags of exactly [start, end): regions that reach beyond are cut at the borders, and keep their generation.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after.</param>
    /// <param name="set">Flags to set.</param>
    /// <param name="clear">Flags to clear.</param>
    /// <param name="modes">Modes that the range has been registered for besides its own.</param>
    public void ChangeFlags(ulong start, ulong end, RegionFlags set, RegionFlags clear, UffdRegisterModes modes = UffdRegisterModes.None)
    {
        _last = null;
        int index = LowerBound(start);
        while (index < _regions.Count && _regions[index].Start < end)
        {
            Region region = _regions[index];
            RegionFlags flags = (region.Flags | set) & ~clear;
            if (flags == region.Flags && (region.Modes | modes) == region.Modes)
            {
                index++;
                continue;
            }

            ulong from = Math.Max(start, region.Start);
            ulong to = Math.Min(end, region.End);
            _regions.RemoveAt(index);
            if (region.Start < from)
            {
                InsertPiece(index++, region, region.Derive(region.Start, from, region.SourceOffset, region.Generation));
            }

            InsertPiece(index++, region, region.Derive(from, to, region.OffsetOf(from), region.Generation, flags, region.Modes | modes));
            if (to < region.End)
            {
                InsertPiece(index++, region, region.Derive(to, region.End, region.OffsetOf(to), region.Generation));
            }

            ledger?.Forget(region);
            region.Release();
        }
    }

    /// <summary>Takes everything out.</summary>
    public void Clear()
    {
        _last = null;
        foreach (Region region in _regions)
        {
            region.Release();
        }

        _regions.Clear();
        Bytes = 0;
    }

    /// <summary>Moves the end of a region up, after the kernel grew its mapping.</summary>
    /// <returns>What stands in its place now.</returns>
    public Region Extend(Region region, ulong end)
    {
        Bytes += end - region.End;
        Version++;
        int index = _regions.IndexOf(region);
        Region grown = region.Derive(region.Start, end, region.SourceOffset, region.Generation);
        _last = null;
        _regions.RemoveAt(index);
        InsertPiece(index, region, grown);
        ledger?.Forget(region);
        region.Release();
        return grown;
    }

    private void InsertPiece(int index, Region whole, Region piece)
    {
        _regions.Insert(index, piece);
        ledger?.Record(piece, replaced: whole.Record == 0 ? null : whole);
    }

    // Index of the first region that ends above the address.
    private int LowerBound(ulong address)
    {
        int low = 0;
        int high = _regions.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_regions[middle].End <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
