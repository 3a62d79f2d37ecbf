namespace UffdManager.Control;

/// <summary>A file of a support archive.</summary>
public sealed record BundleFileDto
{
    /// <summary>Name in the archive's directory.</summary>
    public required string Name { get; init; }

    /// <summary>Its size, bytes.</summary>
    public required long Length { get; init; }
}
