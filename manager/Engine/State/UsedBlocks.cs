using System.Collections;

namespace UffdManager.Engine.State;

/// <summary>Which parts of a state memory are reached by its cells, in units of the small block.</summary>
internal sealed class UsedBlocks(ulong size)
{
    private readonly BitArray _used = new((int)(size / StateLayout.SmallBlock));

    /// <summary>Offset after the last block in use.</summary>
    public ulong End { get; private set; } = StateLayout.Blocks;

    /// <summary>Notes a block as used.</summary>
    /// <exception cref="CorruptStateException">It lies outside, or is in use already.</exception>
    public void Mark(ulong offset, ulong bytes)
    {
        if (offset < StateLayout.Blocks || offset % StateLayout.SmallBlock != 0 || bytes > size || offset > size - bytes)
        {
            throw new CorruptStateException($"a cell leads to {offset}, where no block can be");
        }

        for (ulong unit = offset / StateLayout.SmallBlock; unit < (offset + bytes) / StateLayout.SmallBlock; unit++)
        {
            if (_used[(int)unit])
            {
                throw new CorruptStateException($"two cells lead to the block at {offset}");
            }

            _used[(int)unit] = true;
        }

        End = Math.Max(End, offset + bytes);
    }

    public bool IsUsed(ulong offset) => _used[(int)(offset / StateLayout.SmallBlock)];

    public bool IsFree(ulong offset, ulong bytes)
    {
        for (ulong at = offset; at < offset + bytes; at += StateLayout.SmallBlock)
        {
            if (IsUsed(at))
            {
                return false;
            }
        }

        return true;
    }
}
