using UffdManager.Engine.Regions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>A region as it is at the instant of a snapshot.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after.</param>
/// <param name="PageBytes">Page size.</param>
/// <param name="FirstPage">Number of its first base page, counted over all regions by address: what is noted of pages is found by it.</param>
/// <param name="Shown">What its client was to see in it.</param>
/// <param name="IsShared">Whether other processes may have it mapped.</param>
/// <param name="IsReadThrough">Whether pages can come without a fault, so that contents are always read from the client.</param>
internal sealed record FrozenRegion(ulong Start, ulong End, ulong PageBytes, long FirstPage, SourcePart Shown, bool IsShared, bool IsReadThrough)
{
    /// <summary>Byte offset in the image, for which the order of addresses says nothing. Found out after the instant, before anything is read (<see cref="FrozenLayout"/>).</summary>
    public long FileOffset { get; set; }

    /// <summary>What a region is, for as long as the map of its session stays the same.</summary>
    /// <param name="region">The region, registered for write protection.</param>
    /// <param name="presence">What is known of the client's mappings.</param>
    /// <param name="firstPage">Number of its first base page.</param>
    public static FrozenRegion Of(Region region, PresenceMap presence, long firstPage)
    {
        bool isShared = presence.IsShared(region.Start, region.End);
        bool isReported = (region.Modes & UffdRegisterModes.Missing) != 0 && presence.Pagemap is not null && presence.Tells && presence.IsCurrent(region)
            && ((region.TellsImageTouches && !isShared && !region.Image!.Writable) || presence.IsPrivateAnonymous(region, region.Start, region.End));
        return new FrozenRegion(region.Start, region.End, region.PageBytes, firstPage, SourcePart.Of(region), isShared, !isReported);
    }

    /// <summary>Byte offset in the image.</summary>
    public long OffsetOf(ulong address) => FileOffset + (long)(address - Start);

    /// <summary>Number of a base page of it, or of the one that follows its last.</summary>
    public long PageIndexOf(ulong address) => FirstPage + ((long)(address - Start) / PageSize.Base);

    /// <summary>Address of a base page of a number.</summary>
    public ulong AddressOf(long page) => Start + ((ulong)(page - FirstPage) * (ulong)PageSize.Base);
}
