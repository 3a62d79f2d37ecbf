namespace UffdManager.Control;

/// <summary>The answer of GET /v1.</summary>
public sealed record IndexDto
{
    /// <summary>Version of the API: 1.</summary>
    public required int Api { get; init; }

    /// <summary>Version of the daemon.</summary>
    public required string Version { get; init; }

    /// <summary>What the caller may do: read or admin.</summary>
    public required string Access { get; init; }

    /// <summary>Method and path of each resource.</summary>
    public required IReadOnlyList<string> Resources { get; init; }
}
