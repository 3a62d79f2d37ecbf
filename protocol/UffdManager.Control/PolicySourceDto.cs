namespace UffdManager.Control;

/// <summary>Where the contents of a policy come from.</summary>
public sealed record PolicySourceDto
{
    /// <summary>zero, file, client.</summary>
    public required string Kind { get; init; }

    /// <summary>Of the image.</summary>
    public required string? Path { get; init; }

    /// <summary>Where in the image a region begins, bytes.</summary>
    public required long Offset { get; init; }
}
