namespace UffdManager.Control;

/// <summary>The objects that clients map (MAP), whatever they show.</summary>
public sealed record MappedObjectsDto
{
    /// <summary>Sizes that they may have together.</summary>
    public required long LimitBytes { get; init; }

    /// <summary>Sizes that they have.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Memory that they take.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>By who is charged.</summary>
    public required IReadOnlyList<MappedShareDto> Tenants { get; init; }
}
