namespace UffdManager.Engine.Tracking;

/// <summary>Ranges of which an event has told lately that the client gives them back. Belongs to the session's fault loop.</summary>
/// <remarks>
/// The kernel tells first and frees afterwards: when the event has been read the thread goes on, and only then the pages go, or the edges of huge ones are filled with zeros (fallocate). Freeing a GiB takes
/// some 10 ms; how long the thread takes to get there is the scheduler's affair, so that nothing here is a proof.
/// <para>
/// Ranges are kept by the second in which they came, and grow together only within it: so each is forgotten in time, however many follow. More than there is room for become
/// fewer and larger: then more is taken for recent than is.
/// </para>
/// </remarks>
internal sealed class RecentRemovals
{
    /// <summary>Nanoseconds; what is asked for that time is told at least so long.</summary>
    internal const long Second = 1_000_000_000;

    /// <summary>For how long anything is kept at least, nanoseconds.</summary>
    internal const long Span = Seconds * Second;

    /// <summary>How many ranges of a second are told apart.</summary>
    internal const int Capacity = 32;

    private const int Seconds = 8;

    // The one that has begun is kept besides.
    private readonly long[] _numbers = new long[Seconds + 1];
    private readonly int[] _counts = new int[Seconds + 1];

    // Most sessions are never told of any.
    private (ulong Start, ulong End)[] _ranges = [];

    /// <summary>Notes one.</summary>
    public void Add(ulong start, ulong end, long now)
    {
        if (_ranges.Length == 0)
        {
            _ranges = new (ulong, ulong)[_counts.Length * Capacity];
        }

        long number = now / Second;
        int second = (int)(number % _counts.Length);
        if (_numbers[second] != number)
        {
            (_numbers[second], _counts[second]) = (number, 0);
        }

        Span<(ulong Start, ulong End)> ranges = _ranges.AsSpan(second * Capacity, Capacity);
        int nearest = 0;
        ulong least = ulong.MaxValue;
        for (int i = 0; i < _counts[second] && least > 0; i++)
        {
            ulong gap = start > ranges[i].End ? start - ranges[i].End : ranges[i].Start > end ? ranges[i].Start - end : 0;
            if (gap < least)
            {
                (nearest, least) = (i, gap);
            }
        }

        if (least > 0 && _counts[second] < Capacity)
        {
            ranges[_counts[second]++] = (start, end);
            return;
        }

        ranges[nearest] = (Math.Min(ranges[nearest].Start, start), Math.Max(ranges[nearest].End, end));
    }

    /// <summary>The first part of a range that lies within one of them that is not older than <paramref name="age"/> nanoseconds.</summary>
    public bool TryFind(ulong start, ulong end, long now, long age, out ulong from, out ulong to)
    {
        (from, to) = (end, end);
        for (int second = 0; second < _counts.Length && _ranges.Length > 0; second++)
        {
            if (_counts[second] == 0 || (now / Second) - _numbers[second] > age / Second)
            {
                continue;
            }

            foreach ((ulong first, ulong last) in _ranges.AsSpan(second * Capacity, _counts[second]))
            {
                if (first < end && start < last && Math.Max(first, start) < from)
                {
                    (from, to) = (Math.Max(first, start), Math.Min(last, end));
                }
            }
        }

        return from < end;
    }
}
