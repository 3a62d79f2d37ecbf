namespace UffdManager.Engine.State;

/// <summary>One file of a layered source; all that is needed to know it again, and to know that it is unchanged.</summary>
/// <param name="Description">For logs.</param>
/// <param name="IsDirect">Whether it was opened with O_DIRECT.</param>
/// <param name="Device">Of the file.</param>
/// <param name="Inode">Of the file.</param>
/// <param name="Bytes">Of the file.</param>
/// <param name="ModifiedNanoseconds">Last change of its contents, nanoseconds since 1970.</param>
internal sealed record LayerDocument(string Description, bool IsDirect, ulong Device, ulong Inode, long Bytes, long ModifiedNanoseconds);
