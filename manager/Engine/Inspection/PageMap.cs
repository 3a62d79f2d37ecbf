using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Inspection;

/// <summary>
/// How many pages of each part of a region are in which state. Filled in slices on the loop of its session, read by whoever asked for it once it is whole.
/// </summary>
public sealed class PageMap
{
    /// <summary>Most parts a region may be cut into.</summary>
    public const int MaximumCells = 4096;

    // What a fault may have to wait for; and how many runs of pages are looked at before the clock is.
    private const long SliceNanoseconds = 50_000;
    private const int RunsPerLook = 16;

    private readonly ulong _cellBytes;
    private readonly ulong _end;
    private ulong _cursor;

    internal PageMap(RegionInfo region, int cells)
    {
        Region = region;
        Pages = (long)(region.Length / region.PageBytes);
        PagesPerCell = Math.Max(1, (Pages + cells - 1) / cells);
        _cellBytes = (ulong)PagesPerCell * region.PageBytes;
        _cursor = region.Start;
        _end = region.Start + region.Length;
        int count = (int)((Pages + PagesPerCell - 1) / PagesPerCell);
        (Absent, InFlight, Present, Removed) = (new long[count], new long[count], new long[count], new long[count]);
        (Poisoned, Dirty, Waited) = (new long[count], new long[count], new long[count]);
    }

    /// <summary>The region as it was at the beginning.</summary>
    public RegionInfo Region { get; }

    /// <summary>Pages of the region, each of <see cref="RegionInfo.PageBytes"/>.</summary>
    public long Pages { get; }

    /// <summary>Pages in each cell but the last, which may have fewer.</summary>
    public long PagesPerCell { get; }

    /// <summary>By cell: pages never installed.</summary>
    public IReadOnlyList<long> Absent { get; }

    /// <summary>By cell: pages being fetched.</summary>
    public IReadOnlyList<long> InFlight { get; }

    /// <summary>By cell: pages installed or found present.</summary>
    public IReadOnlyList<long> Present { get; }

    /// <summary>By cell: pages given back by the client.</summary>
    public IReadOnlyList<long> Removed { get; }

    /// <summary>By cell: pages marked as poisoned.</summary>
    public IReadOnlyList<long> Poisoned { get; }

    /// <summary>By cell: pages that were written since they were write-protected; in a tracked region, all that changed.</summary>
    public IReadOnlyList<long> Dirty { get; }

    /// <summary>By cell: pages that somebody waits for.</summary>
    public IReadOnlyList<long> Waited { get; }

    /// <summary>Goes on counting for one slice, on the loop of the session.</summary>
    /// <returns>Whether everything has been counted.</returns>
    internal bool TryFinish(Session session, long now)
    {
        int looks = 0;
        while (_cursor < _end)
        {
            if (++looks % RunsPerLook == 0 && MonotonicClock.NowNanoseconds - now > SliceNanoseconds)
            {
                return false;
            }

            PageState state = PageState.Absent;
            ulong stop = _end;
            if (session.State != SessionState.Ended)
            {
                // Of a session that is over the table is gone.
                _ = session.Pages.NextRun(_cursor, _end, out stop, out state);
            }

            Count(stop, state);
        }

        return true;
    }

    private void Count(ulong stop, PageState state)
    {
        long[] states = (long[])((state & PageState.StateMask) switch
        {
            PageState.InFlight => InFlight,
            PageState.Present => Present,
            PageState.Removed => Removed,
            PageState.Poisoned => Poisoned,
            _ => Absent,
        });
        while (_cursor < stop)
        {
            ulong cell = (_cursor - Region.Start) / _cellBytes;
            ulong until = Math.Min(stop, Region.Start + ((cell + 1) * _cellBytes));

            // A run of base pages never ends inside a huge page: all entries of one agree.
            long pages = (long)((until - _cursor) / Region.PageBytes);
            states[cell] += pages;
            if ((state & PageState.Dirty) != 0)
            {
                ((long[])Dirty)[cell] += pages;
            }

            if ((state & (PageState.Waited | PageState.Deferred)) != 0)
            {
                ((long[])Waited)[cell] += pages;
            }

            _cursor = until;
        }
    }
}
