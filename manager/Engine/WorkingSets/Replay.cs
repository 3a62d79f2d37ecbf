using UffdManager.Engine.Regions;

namespace UffdManager.Engine.WorkingSets;

/// <summary>The replay of one region, under way. Belongs to the fault loop.</summary>
/// <param name="run">The run that it is for.</param>
/// <param name="region">The registration that it is for, as it was at the start.</param>
/// <param name="plan">What to install.</param>
internal sealed class Replay(WorkingSetRun run, Region region, ReplayPlan plan)
{
    private readonly ulong _start = region.Start;
    private readonly long _offset = FirstOffsetOf(region);
    private int _next;
    private int _taken;

    public WorkingSetRun Run { get; } = run;

    public ReplayPlan Plan => plan;

    public Region Region { get; } = region;

    /// <summary>What the tenant had no room for a moment ago.</summary>
    public ReplayBatch? Waiting { get; set; }

    public bool IsExhausted => _next >= plan.Extents.Length && Waiting is null;

    /// <summary>The next piece, at most so many bytes; false at the end.</summary>
    public bool TryTake(long mostBytes, out ulong address, out long offset, out int length)
    {
        if (_next >= plan.Extents.Length)
        {
            (address, offset, length) = (0, 0, 0);
            return false;
        }

        Extent extent = plan.Extents[_next];
        long pageBytes = (long)Region.PageBytes;
        int pages = (int)Math.Clamp(mostBytes / pageBytes, 1, extent.Pages - _taken);
        offset = (extent.Page + _taken) * pageBytes;
        address = AddressOf(offset);
        length = (int)(pages * pageBytes);
        _taken += pages;
        if (_taken == extent.Pages)
        {
            _taken = 0;
            _next++;
        }

        return true;
    }

    /// <summary>So many bytes at the end of what was taken last are to be taken again.</summary>
    public void PutBack(long bytes)
    {
        int pages = (int)(bytes / (long)Region.PageBytes);
        if (_taken == 0 && pages > 0)
        {
            _taken = plan.Extents[--_next].Pages;
        }

        _taken -= pages;
    }

    /// <summary>Where the region shows an offset of the source.</summary>
    public ulong AddressOf(long offset) => _start + (ulong)(offset - _offset);

    /// <summary>Leaves out what is left.</summary>
    public void Exhaust() => _next = plan.Extents.Length;

    /// <summary>The part of the source that a region shows; null when the two do not agree on where pages begin.</summary>
    public static PageWindow? WindowOf(Region region)
    {
        long first = FirstOffsetOf(region);
        long pageBytes = (long)region.PageBytes;
        return first >= 0 && first % pageBytes == 0 ? new PageWindow(first / pageBytes, (first / pageBytes) + ((long)region.Length / pageBytes)) : null;
    }

    /// <summary>Number in the source of the page at an address of a region.</summary>
    public static long PageOf(Region region, ulong address) => (FirstOffsetOf(region) + (long)(address - region.Start)) / (long)region.PageBytes;

    private static long FirstOffsetOf(Region region) => region.Image?.SourceOffsetOf(region.SourceOffset) ?? region.SourceOffset;
}
