using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>A region as it was at the instant of a snapshot.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after.</param>
/// <param name="PageBytes">Page size.</param>
/// <param name="FirstPage">Number of its first base page, counted over all regions by address: what is noted of pages is found by it.</param>
/// <param name="FileOffset">Byte offset in the image, for which the order of addresses says nothing.</param>
/// <param name="IsShared">Whether other processes may have it mapped.</param>
/// <param name="IsReadThrough">Whether pages can come without a fault, so that contents are always read from the client.</param>
internal sealed record FrozenRegion(ulong Start, ulong End, ulong PageBytes, long FirstPage, long FileOffset, bool IsShared, bool IsReadThrough)
{
    /// <summary>Byte offset in the image.</summary>
    public long OffsetOf(ulong address) => FileOffset + (long)(address - Start);

    /// <summary>Number of a base page of it, or of the one that follows its last.</summary>
    public long PageIndexOf(ulong address) => FirstPage + ((long)(address - Start) / PageSize.Base);
}
