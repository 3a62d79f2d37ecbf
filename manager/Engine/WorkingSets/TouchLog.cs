using System.Buffers;
using UffdManager.Engine.State;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// The touches of one run, in their order. Grows by pieces, the only allocation, once in <see cref="PieceLength"/> faults. Belongs to the fault loop, and to
/// whoever merges it afterwards.
/// </summary>
/// <param name="memory">What all logs have; shared.</param>
internal sealed class TouchLog(MemoryGauge memory) : IDisposable
{
    /// <summary>Bytes that all logs may have together.</summary>
    public const long MaximumMemory = 64 * 1024 * 1024;

    private const int PieceLength = 1024;
    private const int TouchBytes = 12;

    private readonly List<Touch[]> _pieces = [];

    private long _pages;

    public int Count { get; private set; }

    /// <summary>False when there is no room for more: what follows is not known.</summary>
    public bool TryAdd(in Touch touch)
    {
        int at = Count % PieceLength;
        if (_pages + touch.Pages > Trace.MaximumPages || (at == 0 && !TryGrow()))
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
            memory.Add(-PieceLength * TouchBytes);
        }

        _pieces.Clear();
        Count = 0;
    }

    private bool TryGrow()
    {
        if (memory.Bytes >= MaximumMemory)
        {
            return false;
        }

        memory.Add(PieceLength * TouchBytes);
        _pieces.Add(ArrayPool<Touch>.Shared.Rent(PieceLength));
        return true;
    }
}
