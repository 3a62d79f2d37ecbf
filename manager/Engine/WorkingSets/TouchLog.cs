using UffdManager.Linux;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// The touches of one run, in their order. Grows by pieces of native memory, one for some thousand faults, so that to record a fault leaves the garbage collector nothing to do. Belongs to the fault loop, and to
/// whoever merges it afterwards, who disposes of it.
/// </summary>
/// <param name="budget">Of the tenant; shared.</param>
internal sealed class TouchLog(TouchBudget budget) : IDisposable
{
    private const int PieceBytes = 16 * 1024;
    private const int TouchBytes = 12;

    // A piece begins with the address of the next one.
    private const int LinkBytes = 8;
    private const int PieceLength = (PieceBytes - LinkBytes) / TouchBytes;

    private nuint _first;
    private nuint _last;
    private long _pages;

    public int Count { get; private set; }

    /// <summary>Whether it has as much as a trace can hold, so that more would tell nothing.</summary>
    public bool IsFull { get; private set; }

    /// <summary>False when there is no room for more: what follows is not known.</summary>
    public bool TryAdd(in Touch touch)
    {
        int at = Count % PieceLength;
        if (_pages + touch.Pages > Trace.MaximumPages)
        {
            IsFull = true;
            return false;
        }

        if (at == 0 && !TryGrow())
        {
            return false;
        }

        TouchAt(_last, at) = touch;
        Count++;
        _pages += touch.Pages;
        return true;
    }

    public IEnumerable<Touch> All()
    {
        nuint piece = _first;
        for (int i = 0; i < Count; i++)
        {
            if (i > 0 && i % PieceLength == 0)
            {
                piece = NextOf(piece);
            }

            yield return TouchAt(piece, i % PieceLength);
        }
    }

    public void Dispose()
    {
        nuint piece = _first;
        while (piece != 0)
        {
            nuint next = NextOf(piece);
            NativePages.Unmap(piece, PieceBytes);
            budget.Return(PieceBytes);
            piece = next;
        }

        _first = _last = 0;
        Count = 0;
    }

    private static ref nuint NextOf(nuint piece) => ref NativePages.At<nuint>(piece);

    private static ref Touch TouchAt(nuint piece, int index) => ref NativePages.At<Touch>(piece + LinkBytes + (nuint)(index * TouchBytes));

    private bool TryGrow()
    {
        if (!budget.TryTake(PieceBytes))
        {
            return false;
        }

        nuint piece = NativePages.TryMap(PieceBytes);
        if (piece == 0)
        {
            budget.Return(PieceBytes);
            return false;
        }

        if (_last == 0)
        {
            _first = piece;
        }
        else
        {
            NextOf(_last) = piece;
        }

        _last = piece;
        return true;
    }
}
