using System.Collections;

namespace UffdManager.Engine.Snapshots;

/// <summary>The regions of a snapshot, by address, their pages numbered one behind the other. Does not change; any thread.</summary>
/// <param name="regions">In that order; belongs to this from now on.</param>
internal sealed class FrozenRegions(FrozenRegion[] regions) : IReadOnlyList<FrozenRegion>
{
    public int Count => regions.Length;

    /// <summary>Where the last one ends; there must be one.</summary>
    public ulong End => regions[^1].End;

    /// <summary>Pages of all of them, in base pages.</summary>
    public long Pages => regions.Length == 0 ? 0 : regions[^1].PageIndexOf(regions[^1].End);

    public FrozenRegion this[int index] => regions[index];

    /// <summary>The region that holds an address; null when none does.</summary>
    public FrozenRegion? Find(ulong address)
    {
        int index = FirstAbove(address);
        return index < regions.Length && regions[index].Start <= address ? regions[index] : null;
    }

    /// <summary>The region that has a page of a number.</summary>
    public FrozenRegion FindNumber(long page)
    {
        int low = 0;
        int high = regions.Length - 1;
        while (low < high)
        {
            int middle = (low + high + 1) >>> 1;
            (low, high) = regions[middle].FirstPage <= page ? (middle, high) : (low, middle - 1);
        }

        return regions[low];
    }

    /// <summary>Index of the first region that ends above an address; their number when none does.</summary>
    public int FirstAbove(ulong address)
    {
        int low = 0;
        int high = regions.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (regions[middle].End <= address)
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

    public IEnumerator<FrozenRegion> GetEnumerator() => ((IEnumerable<FrozenRegion>)regions).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => regions.GetEnumerator();
}
