using UffdManager.Engine.Policies;
using UffdManager.Linux;

namespace UffdManager.Engine.Regions;

/// <summary>
/// State per page of one session, keyed by the client's address; a radix tree of the shape of the hardware's own page table (9 bits a
/// level, 48-bit addresses), so that unmap and split need no re-keying and a region of a terabyte costs nothing until it is touched.
/// </summary>
/// <remarks>
/// An entry of an inner node is 0 (all below is <see cref="PageState.Absent"/>), a tagged uniform state (bit 0 set, state above), or the
/// address of the node below. Owned by one fault loop; not thread safe. Memory is charged to the tenant; what it may not have fails like memory
/// that is not there.
/// </remarks>
internal sealed class PageTable(NodeArena arena, TenantUsage usage, long limitBytes) : IDisposable
{
    public const int LeafKind = 0;
    public const int NodeKind = 1;
    public const int LeafBytes = Fan;
    public const int NodeBytes = Fan * 8;

    private const int Fan = 512;
    private const int Levels = 4;

    private static readonly int PageShift = int.Log2(PageSize.Base);

    private nuint _root;
    private ulong _cachedTag = ulong.MaxValue;
    private nuint _cachedLeaf;

    public PageState Get(ulong address)
    {
        ulong tag = address >> (PageShift + 9);
        if (tag == _cachedTag)
        {
            return Leaf(_cachedLeaf, address);
        }

        nuint entry = _root;
        for (int level = Levels - 1; level >= 1; level--)
        {
            if (entry == 0)
            {
                return PageState.Absent;
            }

            entry = Node(entry, address, level);
            if ((entry & 1) != 0)
            {
                return Uniform(entry);
            }
        }

        if (entry == 0)
        {
            return PageState.Absent;
        }

        Cache(tag, entry);
        return Leaf(entry, address);
    }

    /// <summary>Sets one page; false when the system has no memory for a new leaf.</summary>
    public bool TrySet(ulong address, PageState state)
    {
        ulong tag = address >> (PageShift + 9);
        nuint leaf = tag == _cachedTag ? _cachedLeaf : TryMakeLeaf(address);
        if (leaf == 0)
        {
            return false;
        }

        Leaf(leaf, address) = state;
        return true;
    }

    /// <summary>
    /// Sets one page of any size: all entries of a huge page agree, so that runs of equal states never end inside one. For 2 MiB that is one
    /// uniform entry and no leaf.
    /// </summary>
    public bool TrySetPage(ulong address, ulong pageBytes, PageState state) =>
        pageBytes == (ulong)PageSize.Base ? TrySet(address, state) : TrySetRange(address, address + pageBytes, state);

    /// <summary>Sets every page of [start, end). Whole subtrees become one entry, so that removing a terabyte is cheap.</summary>
    public bool TrySetRange(ulong start, ulong end, PageState state)
    {
        ulong cursor = start;
        while (cursor < end)
        {
            int level = WidestLevel(cursor, end);
            if (level == 0)
            {
                ulong stop = Math.Min(end, PageSize.AlignUp(cursor + 1, Span(1)));
                if (state == PageState.Absent && !HasLeaf(cursor))
                {
                    cursor = stop;
                    continue;
                }

                nuint leaf = TryMakeLeaf(cursor);
                if (leaf == 0)
                {
                    return false;
                }

                for (; cursor < stop; cursor += (ulong)PageSize.Base)
                {
                    Leaf(leaf, cursor) = state;
                }
            }
            else
            {
                if (!TrySetUniform(cursor, level, state))
                {
                    return false;
                }

                cursor += Span(level);
            }
        }

        return true;
    }

    /// <summary>
    /// The next run of equal states in [cursor, end): [start, stop) has <paramref name="state"/>. Runs are cut at leaf borders; a
    /// subtree that nobody touched is one run.
    /// </summary>
    public bool NextRun(ulong cursor, ulong end, out ulong stop, out PageState state)
    {
        stop = cursor;
        state = PageState.Absent;
        if (cursor >= end)
        {
            return false;
        }

        nuint entry = _root;
        for (int level = Levels - 1; level >= 1; level--)
        {
            if (entry != 0)
            {
                entry = Node(entry, cursor, level);
            }

            if (entry == 0 || (entry & 1) != 0)
            {
                state = entry == 0 ? PageState.Absent : Uniform(entry);
                stop = Math.Min(end, PageSize.AlignDown(cursor, Span(level)) + Span(level));
                return true;
            }
        }

        ulong limit = Math.Min(end, PageSize.AlignDown(cursor, Span(1)) + Span(1));
        state = Leaf(entry, cursor);
        stop = cursor + (ulong)PageSize.Base;
        while (stop < limit && Leaf(entry, stop) == state)
        {
            stop += (ulong)PageSize.Base;
        }

        return true;
    }

    public void Dispose()
    {
        if (_root != 0)
        {
            FreeBelow(_root, Levels - 1);
            _root = 0;
        }

        Uncache();
    }

    // Bytes that one entry at this level of nodes covers: level 1 entries point to leaves.
    private static ulong Span(int level) => 1UL << (PageShift + (9 * level));

    private static PageState Uniform(nuint entry) => (PageState)(entry >> 1);

    private static ref nuint Node(nuint node, ulong address, int level) =>
        ref NativePages.At<nuint>(node + (nuint)(((address >> (PageShift + (9 * level))) & (Fan - 1)) * 8));

    private static ref PageState Leaf(nuint leaf, ulong address) =>
        ref NativePages.At<PageState>(leaf + (nuint)((address >> PageShift) & (Fan - 1)));

    private static int WidestLevel(ulong start, ulong end)
    {
        int level = 0;
        while (level < Levels - 1 && PageSize.IsAligned(start, Span(level + 1)) && end - start >= Span(level + 1))
        {
            level++;
        }

        return level;
    }

    private bool HasLeaf(ulong address)
    {
        nuint entry = _root;
        for (int level = Levels - 1; level >= 1 && entry != 0; level--)
        {
            entry = Node(entry, address, level);
            if ((entry & 1) != 0)
            {
                return true;
            }
        }

        return entry != 0;
    }

    private nuint TryMakeLeaf(ulong address)
    {
        if (_root == 0 && (_root = TryAllocate(NodeKind)) == 0)
        {
            return 0;
        }

        nuint node = _root;
        for (int level = Levels - 1; level >= 1; level--)
        {
            ref nuint entry = ref Node(node, address, level);
            if (entry == 0 || (entry & 1) != 0)
            {
                nuint made = TryMakeChild(entry, level - 1);
                if (made == 0)
                {
                    return 0;
                }

                entry = made;
            }

            node = entry;
        }

        Cache(address >> (PageShift + 9), node);
        return node;
    }

    // A uniform entry that is no longer uniform passes its state on to every child.
    private nuint TryMakeChild(nuint uniform, int level)
    {
        nuint child = TryAllocate(level == 0 ? LeafKind : NodeKind);
        if (child == 0 || uniform == 0)
        {
            return child;
        }

        if (level == 0)
        {
            NativePages.AsSpan(child, LeafBytes).Fill((byte)Uniform(uniform));
        }
        else
        {
            for (nuint i = 0; i < Fan; i++)
            {
                NativePages.At<nuint>(child + (i * 8)) = uniform;
            }
        }

        return child;
    }

    private bool TrySetUniform(ulong address, int level, PageState state)
    {
        nuint value = state == PageState.Absent ? 0 : ((nuint)state << 1) | 1;
        if (_root == 0)
        {
            if (value == 0)
            {
                return true;
            }

            if ((_root = TryAllocate(NodeKind)) == 0)
            {
                return false;
            }
        }

        nuint node = _root;
        for (int at = Levels - 1; at > level; at--)
        {
            ref nuint entry = ref Node(node, address, at);
            if (entry == value)
            {
                return true;
            }

            if (entry == 0 || (entry & 1) != 0)
            {
                nuint made = TryMakeChild(entry, at - 1);
                if (made == 0)
                {
                    return false;
                }

                entry = made;
            }

            node = entry;
        }

        ref nuint slot = ref Node(node, address, level);
        if (slot != 0 && (slot & 1) == 0)
        {
            FreeBelow(slot, level - 1);
            Uncache();
        }

        slot = value;
        return true;
    }

    private void FreeBelow(nuint node, int level)
    {
        if (level > 0)
        {
            for (nuint i = 0; i < Fan; i++)
            {
                nuint entry = NativePages.At<nuint>(node + (i * 8));
                if (entry != 0 && (entry & 1) == 0)
                {
                    FreeBelow(entry, level - 1);
                }
            }
        }

        arena.Free(level == 0 ? LeafKind : NodeKind, node);
        usage.AddPageTable(level == 0 ? -LeafBytes : -NodeBytes);
    }

    // 0 when the system has no memory, or the tenant may have no more of it.
    private nuint TryAllocate(int kind)
    {
        int bytes = kind == LeafKind ? LeafBytes : NodeBytes;
        if (usage.AddPageTable(bytes) <= limitBytes && arena.TryAllocate(kind) is nuint block and not 0)
        {
            return block;
        }

        usage.AddPageTable(-bytes);
        return 0;
    }

    private void Cache(ulong tag, nuint leaf)
    {
        _cachedTag = tag;
        _cachedLeaf = leaf;
    }

    private void Uncache() => _cachedTag = ulong.MaxValue;
}
