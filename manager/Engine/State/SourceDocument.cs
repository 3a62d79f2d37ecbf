namespace UffdManager.Engine.State;

/// <summary>A page source whose descriptors are stored as <c>source-Id</c>.</summary>
/// <param name="Id">Number of the stored descriptor; 0 for a range whose source nobody knows.</param>
/// <param name="IsMemfd">Sealed memory rather than a file.</param>
/// <param name="Description">For logs.</param>
/// <param name="Device">Of the file, to know it again.</param>
/// <param name="Inode">Of the file, to know it again.</param>
/// <param name="OwnerTag">See <see cref="Sources.PageSource.OwnerTag"/>.</param>
internal sealed record SourceDocument(long Id, bool IsMemfd, string Description, ulong Device, ulong Inode, string OwnerTag)
{
    /// <summary>For a layered source: its files, with which <see cref="Device"/> and <see cref="Inode"/> are those of the newest.</summary>
    public LayersDocument? Layers { get; init; }
}
