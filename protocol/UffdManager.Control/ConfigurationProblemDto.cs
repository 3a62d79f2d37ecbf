namespace UffdManager.Control;

/// <summary>One thing that is wrong with the configuration.</summary>
public sealed record ConfigurationProblemDto
{
    /// <summary>Path of the key, or a file.</summary>
    public required string Key { get; init; }

    /// <summary>What is wrong and what is allowed.</summary>
    public required string Problem { get; init; }

    /// <summary>File or environment variable that the value came from.</summary>
    public required string? Origin { get; init; }
}
