namespace UffdManager.Control;

/// <summary>What a reload would say.</summary>
public sealed record ConfigurationCheckDto
{
    /// <summary>Whether a reload would succeed.</summary>
    public required bool Valid { get; init; }

    /// <summary>All of them.</summary>
    public required IReadOnlyList<ConfigurationProblemDto> Errors { get; init; }

    /// <summary>What is allowed and probably not meant.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }

    /// <summary>Sections that differ from those in use and would need a restart.</summary>
    public required IReadOnlyList<string> NeedsRestart { get; init; }

    /// <summary>Documents that were read.</summary>
    public required IReadOnlyList<string> Origins { get; init; }
}
