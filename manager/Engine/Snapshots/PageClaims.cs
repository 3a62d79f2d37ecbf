using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>Who saves a page: of fault loop and reader the one who claims it first, and nobody else ever. A byte for each page, of which the system gives those that are used.</summary>
/// <param name="pages">Base pages of all regions.</param>
/// <remarks>
/// A claim is never given back: the loop claims a page when it has read it, the reader before it reads, and a read of the reader's that fails ends the snapshot. So nobody has to look for pages that were
/// claimed and not saved, and no page is in two buffers on their way to the file.
/// </remarks>
internal sealed class PageClaims(long pages) : IDisposable
{
    private readonly ulong _length = PageSize.AlignUp((ulong)pages, (ulong)PageSize.Base);
    private readonly nuint _claims = NativePages.Map(PageSize.AlignUp((ulong)pages, (ulong)PageSize.Base));

    /// <summary>Claims a page of any size. Any thread.</summary>
    public bool TryClaim(FrozenRegion region, ulong page)
    {
        nuint first = AddressOf(region, page);
        if (!TryClaim(first))
        {
            return false;
        }

        // All of them or none: only the first one is looked at by who claims.
        NativePages.AsSpan(first, (int)(region.PageBytes / (ulong)PageSize.Base)).Fill(1);
        return true;
    }

    /// <summary>Claims pages from an address on, up to the first one that is somebody else's. Any thread.</summary>
    /// <returns>The end of what was claimed.</returns>
    public ulong ClaimUpTo(FrozenRegion region, ulong start, ulong end)
    {
        ulong page = start;
        while (page < end && TryClaim(region, page))
        {
            page += region.PageBytes;
        }

        return page;
    }

    /// <summary>Up to the first page that is claimed; or, when the first one is, to the first that is not. Any thread; pages may be claimed meanwhile.</summary>
    public ulong EndOfRun(FrozenRegion region, ulong start, ulong end, out bool isClaimed)
    {
        Span<byte> claims = NativePages.AsSpan(AddressOf(region, start), (int)((end - start) / (ulong)PageSize.Base));
        isClaimed = claims[0] != 0;
        int differs = claims.IndexOfAnyExcept(isClaimed ? (byte)1 : (byte)0);
        return differs < 0 ? end : start + ((ulong)differs * (ulong)PageSize.Base);
    }

    public void Dispose() => NativePages.Unmap(_claims, _length);

    private static bool TryClaim(nuint claim) => Interlocked.CompareExchange(ref NativePages.At<byte>(claim), 1, 0) == 0;

    private nuint AddressOf(FrozenRegion region, ulong page) => _claims + (nuint)region.PageIndexOf(page);
}
