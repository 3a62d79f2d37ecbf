using System.Buffers;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// The touches of one run, in their order. Grows by pieces, the only allocation, once in <see cref="PieceLength"/> faults. Belongs to the fault loop, and to
/// whoever merges it afterwards.
/// </summary>
/// <param name="budget">Of the tenant; shared.</param>
internal sealed class TouchLog(TouchBudget budget) : IDisposable
{
    private const int PieceLength = 1024;
    private const int TouchBytes = 12;

    private readonly List<Touch[]> _pieces = [];

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

        _pieces[^1][at] = touch;
        Count++;
        _pages += touch.Pages;
        return true;
    }

    public IEnumerable<Touch> All()
    {
        for (int i = 0; i < Count; i++)
        {
            yield return _pieces[i / PieceLength][i % PieceLength];
        }
    }

    public void Dispose()
    {
        foreach (Touch[] piece in _pieces)
        {
            ArrayPool<Touch>.Shared.Return(piece);
            budget.Return(PieceLength * TouchBytes);
        }

        _pieces.Clear();
        Count = 0;
    }

    private bool TryGrow()
    {
        if (!budget.TryTake(PieceLength * TouchBytes))
        {
            return false;
        }

        _pieces.Add(ArrayPool<Touch>.Shared.Rent(PieceLength));
        return true;
    }
}
