namespace UffdManager.Control;

/// <summary>The cache of chunks of images.</summary>
public sealed record ImageCacheDto
{
    /// <summary>What it may hold.</summary>
    public required long LimitBytes { get; init; }

    /// <summary>What it holds.</summary>
    public required long Bytes { get; init; }

    /// <summary>Times that pages were found in it.</summary>
    public required long Hits { get; init; }

    /// <summary>Reads that found no room in it.</summary>
    public required long Bypasses { get; init; }

    /// <summary>By who is charged.</summary>
    public required IReadOnlyList<ImageCacheTenantDto> Tenants { get; init; }
}
