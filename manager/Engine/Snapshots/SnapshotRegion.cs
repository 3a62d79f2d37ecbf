namespace UffdManager.Engine.Snapshots;

/// <summary>Where a region of the client is in the image.</summary>
/// <param name="Start">First byte in the client.</param>
/// <param name="Length">Bytes.</param>
/// <param name="PageBytes">Page size.</param>
/// <param name="FileOffset">Byte offset in the image.</param>
/// <param name="IsShared">Whether other processes may have it mapped too, whose writes are not held back.</param>
public sealed record SnapshotRegion(ulong Start, ulong Length, ulong PageBytes, long FileOffset, bool IsShared);
