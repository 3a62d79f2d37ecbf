namespace UffdManager.Control;

/// <summary>Where the snapshot of a session goes.</summary>
public sealed record SnapshotRequestDto
{
    /// <summary>Absolute path of the image; nothing may be there.</summary>
    public required string Out { get; init; }

    /// <summary>Image that a diff is made against, as a path or name that the session's tenant may use as a source; null for a full image.</summary>
    public string? Base { get; init; }

    /// <summary>Memory for pages on their way to the file, bytes; null for 64 MiB.</summary>
    public long? BufferBytes { get; init; }
}
