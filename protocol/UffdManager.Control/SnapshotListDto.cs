namespace UffdManager.Control;

/// <summary>The snapshots that are served.</summary>
public sealed record SnapshotListDto
{
    /// <summary>By name.</summary>
    public required IReadOnlyList<SnapshotDto> Snapshots { get; init; }
}
