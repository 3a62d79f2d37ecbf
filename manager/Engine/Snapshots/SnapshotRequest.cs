using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>What a snapshot is to become.</summary>
public sealed record SnapshotRequest
{
    private const int FewestSaved = 16;
    private const int MostSaved = 4096;

    /// <summary>An empty regular file, open for writing. Stays the caller's, who keeps it open until the report is there.</summary>
    public required SafeFile Output { get; init; }

    /// <summary>
    /// Null for a full image, in which pages of zeros are holes. Else only pages that differ from this one are written, and everything else is a hole: a
    /// diff of its length. It must hold all that the image does, byte for byte at the same offsets. Stays the caller's.
    /// </summary>
    public PageSource? Base { get; init; }

    /// <summary>Bytes of memory for pages on their way to the file; writers of the client wait when it is full.</summary>
    public long BufferBytes { get; init; } = 64L << 20;

    /// <summary>A quarter of that memory, up to 16 MiB: pages that a fault loop reads itself, so that a writer does not have to wait for another thread.</summary>
    internal int SavedPages => (int)Math.Clamp(BufferBytes / 4 / PageSize.Base, FewestSaved, MostSaved);

    /// <summary>What is left of that memory for copying, beside those pages and what is noted of them.</summary>
    internal long BytesForCopying(ulong notes) => BufferBytes - ((long)SavedPages * PageSize.Base) - (long)notes;

    /// <summary>How long writers of the client may wait without any page being saved: a file system or a source that hangs ends the snapshot, not the client.</summary>
    public TimeSpan StallLimit { get; init; } = TimeSpan.FromSeconds(10);
}
