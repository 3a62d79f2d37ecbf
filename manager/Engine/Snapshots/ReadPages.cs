using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>Which pages of a snapshot were read out of their turn: a byte for each base page, in memory that costs nothing until something is noted.</summary>
internal sealed class ReadPages : IDisposable
{
    // Pages that are searched at a time, as far as a span reaches.
    private const ulong Stretch = 1 << 20;

    private readonly nuint _notes;
    private readonly ulong _bytes;

    /// <param name="pages">Base pages of all regions, at least one.</param>
    /// <exception cref="SyscallException">ENOMEM.</exception>
    public ReadPages(long pages)
    {
        _bytes = PageSize.AlignUp((ulong)pages, (ulong)PageSize.Base);
        _notes = NativePages.Map(_bytes);
    }

    /// <summary>Notes one page of a region, of the region's page size.</summary>
    public void Note(FrozenRegion region, ulong page) => NativePages.AsSpan(At(region, page), (int)(region.PageBytes / (ulong)PageSize.Base)).Fill(1);

    /// <summary>Whether a page was noted.</summary>
    public bool Has(FrozenRegion region, ulong page) => NativePages.At<byte>(At(region, page)) != 0;

    /// <summary>The first page in [from, to) of a region that was not noted; <paramref name="to"/> when there is none.</summary>
    public ulong Skip(FrozenRegion region, ulong from, ulong to)
    {
        while (from < to)
        {
            int pages = (int)Math.Min((to - from) / (ulong)PageSize.Base, Stretch);
            int unread = NativePages.AsSpan(At(region, from), pages).IndexOf((byte)0);
            if (unread >= 0)
            {
                return from + ((ulong)unread * (ulong)PageSize.Base);
            }

            from += (ulong)pages * (ulong)PageSize.Base;
        }

        return to;
    }

    public void Dispose() => NativePages.Unmap(_notes, _bytes);

    private nuint At(FrozenRegion region, ulong page) => _notes + (nuint)region.PageIndexOf(page);
}
