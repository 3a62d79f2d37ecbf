namespace UffdManager.Control;

/// <summary>A region at one moment.</summary>
public sealed record RegionDto
{
    /// <summary>Session id.</summary>
    public required long Session { get; init; }

    /// <summary>First byte.</summary>
    public required string Start { get; init; }

    /// <summary>Bytes.</summary>
    public required long Length { get; init; }

    /// <summary>Page size, bytes.</summary>
    public required long PageBytes { get; init; }

    /// <summary>missing, write_protect, minor.</summary>
    public required IReadOnlyList<string> Modes { get; init; }

    /// <summary>mailbox, remove_means_source, write_protected.</summary>
    public required IReadOnlyList<string> Flags { get; init; }

    /// <summary>Its policy.</summary>
    public required string Policy { get; init; }

    /// <summary>Where contents come from.</summary>
    public required string Source { get; init; }

    /// <summary>Of the region's first byte in it, bytes.</summary>
    public required long SourceOffset { get; init; }
}
