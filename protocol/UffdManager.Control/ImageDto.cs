namespace UffdManager.Control;

/// <summary>An image that clones are served from.</summary>
public sealed record ImageDto
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Name of the image that it is a diff upon.</summary>
    public required string? Base { get; init; }

    /// <summary>Its files, the base first.</summary>
    public required IReadOnlyList<ImageLayerDto> Layers { get; init; }

    /// <summary>A page of which a diff has any byte is that diff's, bytes.</summary>
    public required int PageBytes { get; init; }

    /// <summary>Size, bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>When it was added.</summary>
    public required string AddedAt { get; init; }

    /// <summary>idle (nobody has wanted it since the daemon began), open, changed, missing.</summary>
    public required string State { get; init; }

    /// <summary>With changed and missing: what is wrong.</summary>
    public required string? Problem { get; init; }

    /// <summary>Whether its files are to be read past the page cache.</summary>
    public required bool Direct { get; init; }

    /// <summary>Whether they are; null while it is not open.</summary>
    public required bool? IsDirect { get; init; }

    /// <summary>Bytes that some file has, the rest being zeros; null while it is not open.</summary>
    public required long? DataBytes { get; init; }

    /// <summary>Bytes in the cache; null while it is not open.</summary>
    public required long? CachedBytes { get; init; }

    /// <summary>Bytes read from its files since it was opened; null while it is not open.</summary>
    public required long? ReadBytes { get; init; }

    /// <summary>Times that pages were found in the cache since it was opened; null while it is not open.</summary>
    public required long? Hits { get; init; }

    /// <summary>The objects that show it, which clients map; by tenant.</summary>
    public required IReadOnlyList<MappedShareDto> Mapped { get; init; }

    /// <summary>What is known of the pages that its runs touch; null in lists, and where its files cannot be opened.</summary>
    public required IReadOnlyList<WorkingSetDto>? WorkingSets { get; init; }

    /// <summary>Why some of <see cref="WorkingSets"/> may be missing; null when all are there, and in lists.</summary>
    public required string? WorkingSetsProblem { get; init; }
}
