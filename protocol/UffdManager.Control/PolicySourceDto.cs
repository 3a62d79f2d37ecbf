namespace UffdManager.Control;

/// <summary>Where the contents of a policy come from.</summary>
public sealed record PolicySourceDto
{
    /// <summary>zero, file, image, client.</summary>
    public required string Kind { get; init; }

    /// <summary>Of the file, of kind file.</summary>
    public required string? Path { get; init; }

    /// <summary>Name of the image, of kind image.</summary>
    public required string? Image { get; init; }

    /// <summary>Where in the image a region begins, bytes.</summary>
    public required long Offset { get; init; }
}
