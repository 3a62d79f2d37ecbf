namespace UffdManager.Control;

/// <summary>The images, and what is cached of them.</summary>
public sealed record ImageListDto
{
    /// <summary>By name.</summary>
    public required IReadOnlyList<ImageDto> Images { get; init; }

    /// <summary>Files in the place of images that could not be read when the daemon started, and why.</summary>
    public required IReadOnlyList<string> Problems { get; init; }

    /// <summary>The cache that all of them share.</summary>
    public required ImageCacheDto Cache { get; init; }

    /// <summary>The objects that clients map, of images and of everything else.</summary>
    public required MappedObjectsDto Mapped { get; init; }
}
