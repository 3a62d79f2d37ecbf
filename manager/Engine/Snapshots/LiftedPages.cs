namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Pages whose writers were let go while a snapshot protects everything, and that have to be protected again before its instant. Belongs to the session's fault loop.
/// </summary>
/// <remarks>
/// A page is noted here before its protection is lifted, and taken off when it is protected again. So when there is none, and the whole has been protected once, everything is protected.
/// That comes about in any case: rounds are over pages that were noted before the round began, and as soon as one is not shorter than the one before, few are left, or there were many, nobody is let go any
/// more.
/// </remarks>
internal sealed class LiftedPages
{
    /// <summary>So many at a time: what a client that writes as fast as it can writes in the time in which some GiB are protected.</summary>
    public const int Capacity = 16384;

    // Protected in some 200 us: as short as a last round needs to be.
    private const int Few = 64;

    private const int MostRounds = 16;

    private readonly ulong[] _pages = new ulong[Capacity];
    private uint _first;
    private uint _end;
    private uint _roundEnd;
    private uint _lastRound = uint.MaxValue;

    /// <summary>When it was decided that nobody is let go any more, monotonic nanoseconds; 0 before.</summary>
    public long HoldingSince { get; private set; }

    /// <summary>How many rounds were begun.</summary>
    public int Rounds { get; private set; }

    public bool IsEmpty => _first == _end;

    /// <summary>Pages of this round that are left.</summary>
    public int Left => (int)(_roundEnd - _first);

    /// <summary>A page that is left, by the order in which they were noted.</summary>
    public ulong this[int index] => _pages[(_first + (uint)index) % Capacity];

    /// <summary>Notes a page. False when its writer has to wait: there is no room, or nobody is let go any more.</summary>
    public bool TryAdd(ulong page)
    {
        if (HoldingSince != 0 || _end - _first == Capacity)
        {
            return false;
        }

        _pages[_end++ % Capacity] = page;
        return true;
    }

    /// <summary>Begins a round over all that are noted, unless one is under way.</summary>
    public void BeginRound(long now)
    {
        if (Left > 0)
        {
            return;
        }

        uint count = _end - _first;
        _roundEnd = _end;
        if (++Rounds >= MostRounds || count <= Few || count >= _lastRound)
        {
            Hold(now);
        }

        _lastRound = count;
    }

    /// <summary>The first pages that were left are protected.</summary>
    public void Drop(int pages) => _first += (uint)pages;

    /// <summary>Forgets them: everything is going to be protected anew.</summary>
    public void Clear() => (_first, _roundEnd, _lastRound) = (_end, _end, uint.MaxValue);

    /// <summary>From here on nobody is let go.</summary>
    public void Hold(long now) => HoldingSince = HoldingSince == 0 ? now : HoldingSince;
}
