namespace UffdManager.Engine.Sources;

/// <summary>
/// What tells contents that are kept for long from any others: as long as all four agree, offset n holds what it held before.
/// </summary>
/// <param name="Device">Device number, see <see cref="Linux.FileStatus.Device"/>.</param>
/// <param name="Inode">Inode number.</param>
/// <param name="Size">Bytes.</param>
/// <param name="ModifiedNanoseconds">Last change of the contents, nanoseconds since 1970.</param>
public readonly record struct SourceIdentity(ulong Device, ulong Inode, long Size, long ModifiedNanoseconds);
