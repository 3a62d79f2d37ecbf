namespace UffdManager.Engine.Snapshots;

/// <summary>A region as it was at the instant of a snapshot.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after.</param>
/// <param name="PageBytes">Page size.</param>
/// <param name="FileOffset">Byte offset in the image.</param>
/// <param name="IsShared">Whether other processes may have it mapped.</param>
/// <param name="IsReadThrough">Whether pages can come without a fault, so that contents are always read from the client.</param>
internal sealed record FrozenRegion(ulong Start, ulong End, ulong PageBytes, long FileOffset, bool IsShared, bool IsReadThrough)
{
    public long OffsetOf(ulong address) => FileOffset + (long)(address - Start);
}
