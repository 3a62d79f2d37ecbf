namespace UffdManager.Control;

/// <summary>What went wrong with a request: application/problem+json (RFC 9457).</summary>
public sealed record ProblemDto
{
    /// <summary>urn:uffd-manager:problem: and one of the names below.</summary>
    public required string Type { get; init; }

    /// <summary>The same in a few words, always the same for a type.</summary>
    public required string Title { get; init; }

    /// <summary>The HTTP status.</summary>
    public required int Status { get; init; }

    /// <summary>What is wrong with this request.</summary>
    public required string Detail { get; init; }

    /// <summary>What can be done about it.</summary>
    public string? Remedy { get; init; }

    /// <summary>Path of the request.</summary>
    public string? Instance { get; init; }

    /// <summary>What is wrong with the configuration; only of configuration_invalid.</summary>
    public IReadOnlyList<ConfigurationProblemDto>? Errors { get; init; }
}
