namespace UffdManager.Control;

/// <summary>Where a region is in an image.</summary>
public sealed record SnapshotRegionDto
{
    /// <summary>First byte in the process.</summary>
    public required string Start { get; init; }

    /// <summary>Bytes.</summary>
    public required long Length { get; init; }

    /// <summary>Page size, bytes.</summary>
    public required long PageBytes { get; init; }

    /// <summary>Byte offset in the image.</summary>
    public required long FileOffset { get; init; }

    /// <summary>Whether other processes may have had it mapped, whose writes were not held back.</summary>
    public required bool Shared { get; init; }
}
