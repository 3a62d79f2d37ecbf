using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>A fixed amount of memory in pieces of one size, for pages between the client and the file.</summary>
internal sealed class SnapshotBuffers : IDisposable
{
    private const int Fewest = 8;

    private readonly Stack<nuint> _free = new();
    private readonly nuint _memory;
    private readonly ulong _bytes;
    private readonly int _reserve;

    /// <param name="wantedBytes">In all, rounded up to eight pieces at least.</param>
    /// <param name="pieceBytes">Of a piece.</param>
    /// <exception cref="SyscallException">No memory.</exception>
    public SnapshotBuffers(long wantedBytes, int pieceBytes)
    {
        PieceBytes = pieceBytes;
        int count = (int)Math.Clamp(wantedBytes / pieceBytes, Fewest, 1 << 20);
        _reserve = count / 2;
        _bytes = (ulong)count * (ulong)pieceBytes;
        _memory = NativePages.Map(_bytes);
        for (int i = count - 1; i >= 0; i--)
        {
            _free.Push(_memory + (nuint)((ulong)i * (ulong)pieceBytes));
        }
    }

    public int PieceBytes { get; }

    /// <summary>Takes a piece; 0 when there is none. Half of them are kept for pages that somebody waits for.</summary>
    public nuint TryTake(bool isUrgent)
    {
        lock (_free)
        {
            return _free.Count > (isUrgent ? 0 : _reserve) ? _free.Pop() : 0;
        }
    }

    /// <summary>Waits for a piece that is not urgent. Whoever has one gives it back whatever happens, so it comes.</summary>
    public nuint Take()
    {
        lock (_free)
        {
            while (_free.Count <= _reserve)
            {
                Monitor.Wait(_free);
            }

            return _free.Pop();
        }
    }

    public void Return(nuint piece)
    {
        lock (_free)
        {
            _free.Push(piece);
            Monitor.Pulse(_free);
        }
    }

    public void Dispose() => NativePages.Unmap(_memory, _bytes);
}
