namespace UffdManager.Daemon.Configuration;

/// <summary>Contents of a policy's pages: <c>policies.NAME.source</c>.</summary>
public sealed record PolicySourceOptions
{
    /// <summary>Kind of source.</summary>
    public required PolicySourceKind Kind { get; init; }

    /// <summary>Absolute path of the image; only for <see cref="PolicySourceKind.File"/>.</summary>
    public string? Path { get; init; }

    /// <summary>Name of the image; only for <see cref="PolicySourceKind.Image"/>.</summary>
    public string? Image { get; init; }

    /// <summary>Byte in the image at which the first region's offset 0 lies; a multiple of 4096.</summary>
    public required long Offset { get; init; }
}
