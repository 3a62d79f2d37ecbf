using System.Numerics;
using System.Runtime.InteropServices;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Pages whose writers were let go while a snapshot protects everything, and that have to be protected again before its instant: a bit for each base page, by its number. Belongs to the session's fault loop.
/// </summary>
/// <remarks>
/// <para>A page is noted here before its protection is lifted, and taken off when it is protected again. So when there is none, and the whole has been protected once, everything is protected.
/// That comes about in any case: a round goes once over all numbers, and as soon as one begins with no fewer pages than the one before, with few, or after many, nobody is let go any
/// more, so that it is the last one.</para>
/// <para>There is a bit for every page, in memory that is there before the first one is protected. So no number of writers, and no size of the memory, makes anybody wait for room.</para>
/// </remarks>
internal sealed class LiftedPages : IDisposable
{
    // Protected in some 200 us: as short as a last round needs to be.
    private const int Few = 64;

    private const int MostRounds = 16;

    // As many protections, each with a flush of its own on all CPUs, take longer than one of all the pages between them.
    private const int Many = 8;

    private const int WordBits = 64;

    // Bits of pages; and behind them one for each word of those, set while that is not 0: few pages among very many are found without a look at all of them.
    private nuint _memory;
    private long _words;

    private long _cursor;
    private bool _isInRound;
    private long _lastRound = long.MaxValue;

    /// <summary>When it was decided that nobody is let go any more, monotonic nanoseconds; 0 before.</summary>
    public long HoldingSince { get; private set; }

    /// <summary>How many rounds were begun.</summary>
    public int Rounds { get; private set; }

    /// <summary>Pages that are noted.</summary>
    public long Count { get; private set; }

    public bool IsEmpty => Count == 0;

    /// <summary>Memory that it has, in bytes: 32 KiB for a GiB of base pages. What is never touched of it costs nothing.</summary>
    public ulong Bytes { get; private set; }

    /// <summary>Makes room for pages with the numbers from 0 on; none of them is noted, and no round under way.</summary>
    /// <returns>False when there is no memory.</returns>
    public bool TryReserve(long pages)
    {
        Release();
        _words = (pages / WordBits) + 1;
        ulong bytes = PageSize.AlignUp((ulong)(_words + (_words / WordBits) + 1) * sizeof(ulong), (ulong)PageSize.Base);
        _memory = NativePages.TryMap(bytes);
        Bytes = _memory == 0 ? 0 : bytes;
        return _memory != 0;
    }

    /// <summary>Notes a page, however often. False when its writer has to wait, because nobody is let go any more.</summary>
    public bool TryAdd(long page)
    {
        if (HoldingSince != 0)
        {
            return false;
        }

        ref ulong word = ref WordOf(page);
        ulong bit = BitOf(page);
        if ((word & bit) == 0)
        {
            word |= bit;
            WordOf(SummaryOf(page)) |= BitOf(page / WordBits);
            Count++;
        }

        return true;
    }

    /// <summary>Whether a page is noted.</summary>
    public bool Contains(long page) => page / WordBits < _words && (WordOf(page) & BitOf(page)) != 0;

    /// <summary>Begins a round over all that are noted, unless one is under way. What is noted meanwhile is of this round where it has not come to yet, else of the next one.</summary>
    public void BeginRound(long now)
    {
        if (_isInRound)
        {
            return;
        }

        (_isInRound, _cursor) = (true, 0);
        if (++Rounds >= MostRounds || Count <= Few || Count >= _lastRound)
        {
            Hold(now);
        }

        _lastRound = Count;
    }

    /// <summary>The next page of the round. False when that is over.</summary>
    public bool TryNext(out long page)
    {
        page = 0;
        long index = _cursor / WordBits;
        ulong word = index < _words ? WordAt(index) & (ulong.MaxValue << (int)(_cursor % WordBits)) : 0;
        if (word == 0 && !TryFindWord(index + 1, out index, out word))
        {
            _isInRound = false;
            return false;
        }

        page = (index * WordBits) + BitOperations.TrailingZeroCount(word);
        _cursor = page;
        return true;
    }

    /// <summary>Where what is protected in one go with a noted page ends: behind the last one noted before an end, if there are many until there, else where those are not neighbours any more.</summary>
    public long EndOfStretch(long page, long end)
    {
        int noted = 0;
        long last = page;
        for (long index = page / WordBits; index < _words && index * WordBits < end; index++)
        {
            ulong word = WordAt(index) & (index == page / WordBits ? ulong.MaxValue << (int)(page % WordBits) : ulong.MaxValue);
            word &= end - (index * WordBits) < WordBits ? BitOf(end) - 1 : ulong.MaxValue;
            noted += BitOperations.PopCount(word);
            last = word == 0 ? last : (index * WordBits) + BitOperations.Log2(word);
        }

        if (noted >= Many)
        {
            return last + 1;
        }

        long stop = page + 1;
        while (stop < end && Contains(stop))
        {
            stop++;
        }

        return stop;
    }

    /// <summary>A page is protected again: the round goes on behind it.</summary>
    public void Drop(long page)
    {
        ref ulong word = ref WordOf(page);
        if ((word & BitOf(page)) != 0)
        {
            word &= ~BitOf(page);
            Count--;
            if (word == 0)
            {
                WordOf(SummaryOf(page)) &= ~BitOf(page / WordBits);
            }
        }

        _cursor = page + 1;
    }

    /// <summary>From here on nobody is let go.</summary>
    public void Hold(long now) => HoldingSince = HoldingSince == 0 ? now : HoldingSince;

    /// <summary>That was not the last round after all: what is met is noted again. False when nobody was held.</summary>
    public bool TryLetGo()
    {
        bool wasHolding = HoldingSince != 0;
        (HoldingSince, _isInRound) = (0, false);
        return wasHolding;
    }

    public void Dispose() => Release();

    private static ulong BitOf(long number) => 1UL << (int)(number % WordBits);

    // By the number of a word, the summary's being behind the others.
    private ref ulong WordAt(long index) => ref NativePages.At<ulong>(_memory + (nuint)(index * sizeof(ulong)));

    private ref ulong WordOf(long number) => ref WordAt(number / WordBits);

    // The number of the first bit of the summary's word that tells of a page.
    private long SummaryOf(long page) => (_words + (page / WordBits / WordBits)) * WordBits;

    private bool TryFindWord(long from, out long index, out ulong word)
    {
        (index, word) = (0, 0);
        if (from >= _words)
        {
            return false;
        }

        long at = from / WordBits;
        ulong summary = WordAt(_words + at) & (ulong.MaxValue << (int)(from % WordBits));
        if (summary == 0)
        {
            long left = ((_words - 1) / WordBits) - at;
            int skipped = left == 0 ? -1 : Summary(at + 1, (int)left).IndexOfAnyExcept(0UL);
            if (skipped < 0)
            {
                return false;
            }

            at += 1 + skipped;
            summary = WordAt(_words + at);
        }

        index = (at * WordBits) + BitOperations.TrailingZeroCount(summary);
        word = WordAt(index);
        return true;
    }

    private Span<ulong> Summary(long first, int count) =>
        MemoryMarshal.Cast<byte, ulong>(NativePages.AsSpan(_memory + (nuint)((_words + first) * sizeof(ulong)), count * sizeof(ulong)));

    private void Release()
    {
        if (_memory != 0)
        {
            NativePages.Unmap(_memory, Bytes);
        }

        (_memory, _words, Bytes, Count) = (0, 0, 0, 0);
        (_isInRound, _cursor, _lastRound) = (false, 0, long.MaxValue);
    }
}
