namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// Pages of a source that a run has had and given back, where that leads to the source again: their next fault is no first touch. Belongs to the fault loop.
/// </summary>
internal sealed class PagesGivenBack
{
    /// <summary>Ranges that are told apart, 8 bytes each; what is given back beyond them counts as touched anew.</summary>
    public const int MaximumRanges = 4096;

    // By page, none overlapping or beside another.
    private readonly List<(uint Start, uint End)> _ranges = [];

    public int Ranges => _ranges.Count;

    public void Add(uint start, uint end)
    {
        // From the first range that ends at the new one's start or behind it, to the last one that begins at its end or before.
        int first = FirstEndingAt(start);
        int behind = first;
        while (behind < _ranges.Count && _ranges[behind].Start <= end)
        {
            behind++;
        }

        if (behind > first)
        {
            (uint Start, uint End) joined = (Math.Min(start, _ranges[first].Start), Math.Max(end, _ranges[behind - 1].End));
            _ranges.RemoveRange(first + 1, behind - first - 1);
            _ranges[first] = joined;
        }
        else if (_ranges.Count < MaximumRanges)
        {
            _ranges.Insert(first, (start, end));
        }
    }

    public bool Contains(uint page)
    {
        int at = FirstEndingAt(page + 1);
        return at < _ranges.Count && _ranges[at].Start <= page;
    }

    private int FirstEndingAt(uint page)
    {
        int low = 0;
        int high = _ranges.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            (low, high) = _ranges[middle].End < page ? (middle + 1, high) : (low, middle);
        }

        return low;
    }
}
