namespace UffdManager.Control;

/// <summary>An image to be added.</summary>
public sealed record ImageAdditionDto
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Absolute path of the file.</summary>
    public required string File { get; init; }

    /// <summary>Name of the image that the file is a diff upon.</summary>
    public string? Base { get; init; }

    /// <summary>4096 or 2097152; if it is left out, that of the base, or 4096.</summary>
    public int? PageBytes { get; init; }

    /// <summary>Whether to read past the page cache.</summary>
    public bool Direct { get; init; }
}
