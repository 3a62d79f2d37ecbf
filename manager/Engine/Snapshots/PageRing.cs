namespace UffdManager.Engine.Snapshots;

/// <summary>Addresses of pages that somebody waits for; one writer (the fault loop), one reader. What finds it full is not lost: the page's turn comes.</summary>
internal sealed class PageRing
{
    public const int Capacity = 4096;

    private readonly ulong[] _pages = new ulong[Capacity];
    private uint _written;
    private uint _read;

    public bool IsEmpty => Volatile.Read(ref _written) == _read;

    public bool TryAdd(ulong page)
    {
        uint at = _written;
        if (at - Volatile.Read(ref _read) >= Capacity)
        {
            return false;
        }

        _pages[at % Capacity] = page;
        Volatile.Write(ref _written, at + 1);
        return true;
    }

    public bool TryTake(out ulong page)
    {
        uint at = _read;
        page = 0;
        if (at == Volatile.Read(ref _written))
        {
            return false;
        }

        page = _pages[at % Capacity];
        Volatile.Write(ref _read, at + 1);
        return true;
    }
}
