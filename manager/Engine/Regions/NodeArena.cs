using UffdManager.Linux;

namespace UffdManager.Engine.Regions;

/// <summary>
/// Native memory for page tables, carved from slabs and reused through free lists, so that the fault path never allocates managed memory
/// and nothing of a page table is visible to the garbage collector. One per fault loop; not thread safe.
/// </summary>
internal sealed class NodeArena : IDisposable
{
    private const ulong SlabBytes = 1 << 20;

    private readonly List<nuint> _slabs = [];
    private readonly int[] _sizes;
    private readonly nuint[] _free;
    private nuint _next;
    private ulong _left;

    public NodeArena(params int[] sizes)
    {
        _sizes = sizes;
        _free = new nuint[sizes.Length];
    }

    /// <summary>Bytes taken from the system.</summary>
    public ulong ReservedBytes => (ulong)_slabs.Count * SlabBytes;

    /// <summary>A zeroed block, or 0 when the system has no memory.</summary>
    public nuint TryAllocate(int kind)
    {
        nuint block = _free[kind];
        int size = _sizes[kind];
        if (block != 0)
        {
            _free[kind] = NativePages.At<nuint>(block);
            NativePages.Clear(block, (nuint)size);
            return block;
        }

        if (_left < (ulong)size)
        {
            nuint slab = NativePages.TryMap(SlabBytes);
            if (slab == 0)
            {
                return 0;
            }

            _slabs.Add(slab);
            _next = slab;
            _left = SlabBytes;
        }

        block = _next;
        _next += (nuint)size;
        _left -= (ulong)size;
        return block;
    }

    public void Free(int kind, nuint block)
    {
        NativePages.At<nuint>(block) = _free[kind];
        _free[kind] = block;
    }

    public void Dispose()
    {
        foreach (nuint slab in _slabs)
        {
            NativePages.Unmap(slab, SlabBytes);
        }

        _slabs.Clear();
    }
}
