namespace UffdManager.Control;

/// <summary>Neighbouring pages that changed.</summary>
public sealed record DirtyRunDto
{
    /// <summary>First byte.</summary>
    public required string Start { get; init; }

    /// <summary>Bytes.</summary>
    public required long Length { get; init; }

    /// <summary>Size of each page, bytes.</summary>
    public required long PageBytes { get; init; }
}
