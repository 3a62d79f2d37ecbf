namespace UffdManager.Control;

/// <summary>One file of an image.</summary>
public sealed record ImageLayerDto
{
    /// <summary>Name of the image that was added with it.</summary>
    public required string Image { get; init; }

    /// <summary>Absolute path.</summary>
    public required string Path { get; init; }

    /// <summary>Size, bytes.</summary>
    public required long Bytes { get; init; }

    /// <summary>SHA-256 of the first 64 KiB.</summary>
    public required string HeaderSha256 { get; init; }
}
