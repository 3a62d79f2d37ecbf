using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Pages that the fault loop has read in the fault of their writer, on their way to the reader, which takes them to the file. Memory for them is there from the beginning: where there is none left, the writer waits for
/// the reader. The loop is the one writer of it, the reader thread its one reader.
/// </summary>
/// <param name="slots">Pages that may be on their way.</param>
/// <param name="memory">/proc/PID/mem, null where that cannot be had: then nothing is saved here. Stays the caller's, who keeps it open.</param>
internal sealed class PageSaver(int slots, SafeFile? memory) : IDisposable
{
    private readonly ulong[] _pages = new ulong[slots];
    private readonly nuint _memory = NativePages.Map((ulong)slots * (ulong)PageSize.Base);
    private readonly FdLease _lease = memory?.Lease() ?? default;
    private bool _isClosed;
    private uint _saved;
    private uint _taken;

    /// <summary>Whether none is on its way. For the reader.</summary>
    public bool IsEmpty => Volatile.Read(ref _saved) == _taken;

    /// <summary>Pages on their way. Any thread.</summary>
    public int Count => (int)(Volatile.Read(ref _saved) - Volatile.Read(ref _taken));

    /// <summary>So many that it is time to take them off.</summary>
    public int Half => slots / 2;

    /// <summary>Nothing is saved any more. For the loop.</summary>
    public void Close() => _isClosed = true;

    /// <summary>
    /// Reads a page that nobody can write, and claims it. For the loop: it does not wait. What is not mapped at the moment is not read, as it might have to come from swap.
    /// </summary>
    /// <returns>False when the reader has to do it, or does so already.</returns>
    public bool TrySave(Snapshot snapshot, FrozenRegion region, ulong page)
    {
        uint at = _saved;
        if (_isClosed || _lease.IsNone || at - Volatile.Read(ref _taken) >= (uint)slots || !IsMapped(snapshot.Presence.Pagemap!, page))
        {
            return false;
        }

        nuint slot = SlotOf(at);
        if (FileIo.Read(_lease, slot, PageSize.Base, (long)page, out int read) != Errno.OK || read != PageSize.Base || !snapshot.Claims.TryClaim(region, page))
        {
            return false;
        }

        _pages[at % (uint)slots] = page;
        Volatile.Write(ref _saved, at + 1);
        return true;
    }

    /// <summary>Takes one off. For the reader.</summary>
    /// <param name="page">Its address.</param>
    /// <param name="into">Where its contents go.</param>
    public bool TryTake(out ulong page, nuint into)
    {
        page = 0;
        if (IsEmpty)
        {
            return false;
        }

        page = _pages[_taken % (uint)slots];
        NativePages.AsSpan(SlotOf(_taken), PageSize.Base).CopyTo(NativePages.AsSpan(into, PageSize.Base));
        Volatile.Write(ref _taken, _taken + 1);
        return true;
    }

    public void Dispose()
    {
        _lease.Dispose();
        NativePages.Unmap(_memory, (ulong)slots * (ulong)PageSize.Base);
    }

    private static bool IsMapped(SafeFile pagemap, ulong page)
    {
        Span<PageRegion> found = stackalloc PageRegion[1];
        PagemapScanRequest request = new()
        {
            Start = page,
            End = page + (ulong)PageSize.Base,
            Required = PageCategories.Present,
            Returned = PageCategories.Present,
        };
        return PagemapScan.Scan(pagemap, request, found, out int count, out _) == Errno.OK && count == 1;
    }

    private nuint SlotOf(uint at) => _memory + (nuint)((ulong)(at % (uint)slots) * (ulong)PageSize.Base);
}
