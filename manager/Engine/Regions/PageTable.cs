using System.Numerics;
using UffdManager.Engine.Policies;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Regions;

/// <summary>
/// State per page of one session, keyed by the client's address; a radix tree of the shape of the hardware's own page table (9 bits a
/// level, 48-bit addresses), so that unmap and split need no re-keying and a region of a terabyte costs nothing until it is touched.
/// </summary>
/// <remarks>
/// <para>It lies in the session's state memory and outlives the manager: there is no journal, the table itself is what a successor reads. An entry
/// of an inner node is a cell with a check (<see cref="StateChecks"/>): 0 (all below is <see cref="PageState.Absent"/>), a tagged uniform state (bit 0
/// set, state above), or the offset of the node below. A byte of a leaf has its parity in the top bit. So every single store takes the table from one
/// state that can be read to the next. Addresses from <see cref="StateLayout.AsideBase"/> on have a root of their own.</para>
/// <para>Owned by one fault loop; not thread safe. Memory is charged to the tenant; what it may not have fails like memory that is not there.</para>
/// </remarks>
internal sealed partial class PageTable(StateMemory memory, TenantUsage usage, long limitBytes) : IDisposable
{
    public const int LeafBytes = Fan;
    public const int NodeBytes = Fan * 8;

    private const int Fan = 512;
    private const int Levels = 4;

    private static readonly int PageShift = int.Log2(PageSize.Base);

    private const byte ParityBit = 0x80;

    private ulong _cachedTag = ulong.MaxValue;
    private nuint _cachedLeaf;
    private long _bytes;

    public PageState Get(ulong address)
    {
        ulong tag = address >> (PageShift + 9);
        if (tag == _cachedTag)
        {
            return Decode(Leaf(_cachedLeaf, address));
        }

        ulong entry = StateMemory.ReadCell(RootOf(address));
        for (int level = Levels - 1; level >= 1; level--)
        {
            if (entry == 0)
            {
                return PageState.Absent;
            }

            entry = StateMemory.ReadCell(Cell(entry, address, level));
            if ((entry & 1) != 0)
            {
                return Uniform(entry);
            }
        }

        if (entry == 0)
        {
            return PageState.Absent;
        }

        nuint leaf = memory.AddressOf(entry);
        Cache(tag, leaf);
        return Decode(Leaf(leaf, address));
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

        Leaf(leaf, address) = Encode(state);
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

                LeafSpan(leaf, cursor, stop).Fill(Encode(state));
                cursor = stop;
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

        ulong entry = StateMemory.ReadCell(RootOf(cursor));
        for (int level = Levels - 1; level >= 1; level--)
        {
            if (entry != 0)
            {
                entry = StateMemory.ReadCell(Cell(entry, cursor, level));
            }

            if (entry == 0 || (entry & 1) != 0)
            {
                state = entry == 0 ? PageState.Absent : Uniform(entry);
                stop = Math.Min(end, PageSize.AlignDown(cursor, Span(level)) + Span(level));
                return true;
            }
        }

        ulong limit = Math.Min(end, PageSize.AlignDown(cursor, Span(1)) + Span(1));
        Span<byte> rest = LeafSpan(memory.AddressOf(entry), cursor, limit);
        int differs = rest.IndexOfAnyExcept(rest[0]);
        state = Decode(rest[0]);
        stop = differs < 0 ? limit : cursor + ((ulong)differs << PageShift);
        return true;
    }

    /// <summary>Gives the tenant its share back. The memory itself goes with the session's.</summary>
    public void Dispose()
    {
        usage.AddPageTable(-_bytes);
        _bytes = 0;
        Uncache();
    }

    private nuint RootOf(ulong address) =>
        memory.Base + (nuint)(address < StateLayout.AsideBase ? StateLayout.RootCell : StateLayout.AsideRootCell);

    // Bytes that one entry at this level of nodes covers: level 1 entries point to leaves.
    private static ulong Span(int level) => 1UL << (PageShift + (9 * level));

    private static PageState Uniform(ulong entry) => (PageState)(entry >> 1);

    private static byte Encode(PageState state) => (byte)((uint)state | (((uint)BitOperations.PopCount((uint)state) & 1) << 7));

    private static PageState Decode(byte stored) => (PageState)(stored & ~ParityBit);

    private nuint Cell(ulong node, ulong address, int level) =>
        memory.AddressOf(node) + (nuint)(((address >> (PageShift + (9 * level))) & (Fan - 1)) * 8);

    private static ref byte Leaf(nuint leaf, ulong address) =>
        ref NativePages.At<byte>(leaf + (nuint)((address >> PageShift) & (Fan - 1)));

    // [start, stop) lies within one leaf.
    private static Span<byte> LeafSpan(nuint leaf, ulong start, ulong stop) =>
        NativePages.AsSpan(leaf + (nuint)((start >> PageShift) & (Fan - 1)), (int)((stop - start) >> PageShift));

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
        ulong entry = StateMemory.ReadCell(RootOf(address));
        for (int level = Levels - 1; level >= 1 && entry != 0; level--)
        {
            entry = StateMemory.ReadCell(Cell(entry, address, level));
            if ((entry & 1) != 0)
            {
                return true;
            }
        }

        return entry != 0;
    }

    private nuint TryMakeLeaf(ulong address)
    {
        nuint cell = RootOf(address);
        for (int level = Levels - 1; level >= 0; level--)
        {
            ulong node = TryMakeBlock(cell, level);
            if (node == 0)
            {
                return 0;
            }

            cell = level == 0 ? memory.AddressOf(node) : Cell(node, address, level);
        }

        Cache(address >> (PageShift + 9), cell);
        return cell;
    }

    // The block that a cell leads to, made if there is none. What the cell said of everything below is passed on to every child first.
    private ulong TryMakeBlock(nuint cell, int level)
    {
        ulong entry = StateMemory.ReadCell(cell);
        if (entry != 0 && (entry & 1) == 0)
        {
            return entry;
        }

        nuint block = TryAllocate(level);
        if (block == 0)
        {
            return 0;
        }

        if (entry != 0 && level == 0)
        {
            NativePages.AsSpan(block, LeafBytes).Fill(Encode(Uniform(entry)));
        }
        else if (entry != 0)
        {
            for (nuint i = 0; i < Fan; i++)
            {
                StateMemory.WriteCell(block + (i * 8), entry);
            }
        }

        ulong offset = memory.OffsetOf(block);
        StateMemory.WriteCell(cell, offset);
        return offset;
    }

    private bool TrySetUniform(ulong address, int level, PageState state)
    {
        ulong value = state == PageState.Absent ? 0 : ((ulong)state << 1) | 1;
        nuint cell = RootOf(address);
        for (int at = Levels - 1; at >= level; at--)
        {
            if (StateMemory.ReadCell(cell) == value && (at < Levels - 1 || value == 0))
            {
                return true;
            }

            ulong node = TryMakeBlock(cell, at);
            if (node == 0)
            {
                return false;
            }

            cell = Cell(node, address, at);
        }

        ulong former = StateMemory.ReadCell(cell);
        StateMemory.WriteCell(cell, value);
        if (former != 0 && (former & 1) == 0)
        {
            // Only now: a block that a cell leads to is never touched.
            FreeBelow(former, level - 1);
            Uncache();
        }

        return true;
    }

    private void FreeBelow(ulong node, int level)
    {
        nuint address = memory.AddressOf(node);
        if (level > 0)
        {
            for (nuint i = 0; i < Fan; i++)
            {
                ulong entry = StateMemory.ReadCell(address + (i * 8));
                if (entry != 0 && (entry & 1) == 0)
                {
                    FreeBelow(entry, level - 1);
                }
            }
        }

        memory.Free(KindOf(level), address);
        Charge(level == 0 ? -LeafBytes : -NodeBytes);
    }

    // 0 when the system has no memory, or the tenant may have no more of it.
    private nuint TryAllocate(int level)
    {
        int bytes = level == 0 ? LeafBytes : NodeBytes;
        if (Charge(bytes) <= limitBytes && memory.TryAllocate(KindOf(level)) is nuint block and not 0)
        {
            return block;
        }

        Charge(-bytes);
        return 0;
    }

    private static int KindOf(int level) => level == 0 ? StateMemory.SmallKind : StateMemory.LargeKind;

    private long Charge(long bytes)
    {
        _bytes += bytes;
        return usage.AddPageTable(bytes);
    }

    private void Cache(ulong tag, nuint leaf)
    {
        _cachedTag = tag;
        _cachedLeaf = leaf;
    }

    private void Uncache() => _cachedTag = ulong.MaxValue;
}
