using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// Pieces of a source that are fetched together, so that scattered pages cost one hand-over between threads, and a disk sees all of them at once. Reused.
/// </summary>
internal sealed class ReplayBatch
{
    public const int MaximumPieces = 256;

    // What a piece keeps in memory for as long as it waits to be installed may be more than it needs, up to this; the copy costs a microsecond or ten.
    private const int CopiedBytes = 64 * 1024;

    private readonly ulong[] _addresses = new ulong[MaximumPieces];
    private readonly long[] _offsets = new long[MaximumPieces];
    private readonly int[] _lengths = new int[MaximumPieces];
    private readonly SourcePages[] _pages = new SourcePages[MaximumPieces];
    private readonly bool[] _zero = new bool[MaximumPieces];
    private int _most = MaximumPieces;

    public int Count { get; private set; }

    public int Bytes { get; private set; }

    /// <summary>The piece to be installed next, and how much of it is done.</summary>
    public int Next { get; set; }

    public int Done { get; set; }

    public bool IsFull => Count >= _most;

    /// <summary>Begins anew, with room for so many pieces.</summary>
    public void Clear(int most)
    {
        _most = most;
        Count = Bytes = Next = Done = 0;
        Array.Clear(_pages);
    }

    public void Add(ulong address, long offset, int length)
    {
        _addresses[Count] = address;
        _offsets[Count] = offset;
        _lengths[Count++] = length;
        Bytes += length;
    }

    /// <summary>Gives back what came.</summary>
    /// <param name="source">From where.</param>
    public void Release(PageSource source)
    {
        // Behind a failure the count says nothing of pieces that were at hand already.
        foreach (ref SourcePages pages in _pages.AsSpan())
        {
            source.Release(in pages);
            pages = default;
        }
    }

    public ulong AddressOf(int piece) => _addresses[piece];

    /// <summary>What came: no bytes where the source had none to give at once.</summary>
    public SourcePages PagesOf(int piece) => _pages[piece];

    public bool IsZero(int piece) => _zero[piece];

    /// <summary>Brings everything, on a fetch thread.</summary>
    /// <param name="source">From here.</param>
    /// <param name="buffer">Of at least <see cref="Bytes"/> bytes.</param>
    /// <param name="payer">Who is charged for what stays in memory afterwards.</param>
    /// <returns>The first failure; what came before it is there.</returns>
    public Errno Fetch(PageSource source, nuint buffer, Tenant payer)
    {
        Span<bool> slow = stackalloc bool[MaximumPieces];
        nuint at = buffer;
        for (int i = 0; i < Count; at += (nuint)_lengths[i++])
        {
            SourceAnswer answer = source.TryGet(_offsets[i], _lengths[i], at, out SourcePages pages);
            _zero[i] = answer == SourceAnswer.Zero;
            slow[i] = answer == SourceAnswer.Slow || (answer == SourceAnswer.Ready && pages.Length < _lengths[i]);
            _pages[i] = _zero[i] ? new SourcePages(0, _lengths[i]) : slow[i] ? default : pages;
            if (slow[i])
            {
                source.Release(in pages);
                source.WillNeed(_offsets[i], _lengths[i]);
            }
            else if (answer == SourceAnswer.Ready)
            {
                LetGo(source, at, ref _pages[i]);
            }
        }

        at = buffer;
        for (int i = 0; i < Count; at += (nuint)_lengths[i++])
        {
            Errno errno = slow[i] ? FetchWhole(source, i, at, payer) : Errno.OK;
            if (errno != Errno.OK)
            {
                Count = _pages[i].Length > 0 ? i + 1 : i;
                return errno;
            }

            LetGo(source, at, ref _pages[i]);
        }

        return Errno.OK;
    }

    // A source may answer with the beginning only, and is asked for the rest; all of it lies in the buffer then. What came before a failure is there.
    private Errno FetchWhole(PageSource source, int piece, nuint at, Tenant payer)
    {
        Errno errno = source.FetchPiece(_offsets[piece], _lengths[piece], at, payer, out _pages[piece]);
        int done = errno == Errno.OK ? _pages[piece].Length : 0;
        while (errno == Errno.OK && done > 0 && done < _lengths[piece])
        {
            Gather(source, at, done, ref _pages[piece]);
            errno = source.FetchPiece(_offsets[piece] + done, _lengths[piece] - done, at + (nuint)done, payer, out SourcePages rest);
            if (errno != Errno.OK || rest.Length == 0)
            {
                break;
            }

            Gather(source, at + (nuint)done, rest.Length, ref rest);
            done += rest.Length;
            _pages[piece] = new SourcePages(at, done);
        }

        return errno;
    }

    private static void Gather(PageSource source, nuint at, int length, ref SourcePages pages)
    {
        if (pages.Address != at)
        {
            NativePages.AsSpan(pages.Address, length).CopyTo(NativePages.AsSpan(at, length));
        }

        source.Release(in pages);
        pages = new SourcePages(at, length);
    }

    // Hundreds of small pieces would each keep a large chunk of a cache from being given up until the loop has come to them.
    private static void LetGo(PageSource source, nuint buffer, ref SourcePages pages)
    {
        if (pages.Pin == 0 || pages.Length > CopiedBytes)
        {
            return;
        }

        NativePages.AsSpan(pages.Address, pages.Length).CopyTo(NativePages.AsSpan(buffer, pages.Length));
        source.Release(in pages);
        pages = new SourcePages(buffer, pages.Length);
    }
}
