using System.Numerics;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Regions;

/// <content>Reading the table that another manager left behind.</content>
internal sealed partial class PageTable
{
    /// <summary>
    /// Walks the whole table: proves every cell and byte, tells which blocks are in use, and takes back what only the dead manager knew the meaning
    /// of: fetches under way, deferred faults.
    /// </summary>
    /// <param name="used">Gets every block of the table.</param>
    /// <returns>Bytes of pages that are present, not counting what is set aside.</returns>
    /// <exception cref="CorruptStateException">Something does not check.</exception>
    public long Recover(UsedBlocks used)
    {
        _ = RecoverRoot(used, RootOf(StateLayout.AsideBase));
        return RecoverRoot(used, RootOf(0));
    }

    /// <summary>Bytes of nodes and leaves.</summary>
    public long Bytes => _bytes;

    /// <summary>Charges the tenant for a table that was recovered through another object.</summary>
    public void Resume(long bytes) => Charge(bytes);

    private long RecoverRoot(UsedBlocks used, nuint cell)
    {
        ulong root = memory.ReadCheckedCell(cell);
        if (root == 0)
        {
            return 0;
        }

        return (root & 1) == 0 ? RecoverNode(used, root, Levels - 1) : throw new CorruptStateException("the page table's root is no node");
    }

    private long RecoverNode(UsedBlocks used, ulong node, int level)
    {
        used.Mark(node, NodeBytes);
        Charge(NodeBytes);
        long present = 0;
        for (nuint i = 0; i < Fan; i++)
        {
            nuint cell = memory.AddressOf(node) + (i * 8);
            ulong entry = memory.ReadCheckedCell(cell);
            if (entry == 0)
            {
                continue;
            }

            if ((entry & 1) != 0)
            {
                present += RecoverUniform(cell, entry, level);
            }
            else
            {
                present += level == 1 ? RecoverLeaf(used, entry) : RecoverNode(used, entry, level - 1);
            }
        }

        return present;
    }

    private static long RecoverUniform(nuint cell, ulong entry, int level)
    {
        if (entry > (ulong)PageState.AllBits << 1 || Lasting(Uniform(entry)) is not PageState lasting)
        {
            throw new CorruptStateException($"a range of pages has the state {entry >> 1}");
        }

        if (lasting != Uniform(entry))
        {
            StateMemory.WriteCell(cell, lasting == PageState.Absent ? 0 : ((ulong)lasting << 1) | 1);
        }

        return (lasting & PageState.StateMask) == PageState.Present ? (long)Span(level) : 0;
    }

    private long RecoverLeaf(UsedBlocks used, ulong leaf)
    {
        used.Mark(leaf, LeafBytes);
        Charge(LeafBytes);
        long present = 0;
        foreach (ref byte stored in NativePages.AsSpan(memory.AddressOf(leaf), LeafBytes))
        {
            if ((BitOperations.PopCount(stored) & 1) != 0 || Lasting(Decode(stored)) is not PageState lasting)
            {
                throw new CorruptStateException($"a page has the state 0x{stored:x}");
            }

            if (lasting != Decode(stored))
            {
                stored = Encode(lasting);
            }

            present += (lasting & PageState.StateMask) == PageState.Present ? PageSize.Base : 0;
        }

        return present;
    }

    // Null for what no manager writes. A huge page that was suspected keeps nothing of that: its next fault asks again.
    private static PageState? Lasting(PageState state) => (state & PageState.StateMask) switch
    {
        PageState.Absent or PageState.InFlight => state & PageState.Dirty,
        PageState.Present or PageState.Removed or PageState.Poisoned => state & (PageState.StateMask | PageState.Dirty),
        _ => null,
    };
}
