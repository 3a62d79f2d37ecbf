namespace UffdManager.Control;

/// <summary>What the clients of one tenant map.</summary>
public sealed record MappedShareDto
{
    /// <summary>Its name.</summary>
    public required string Tenant { get; init; }

    /// <summary>How many objects.</summary>
    public required int Objects { get; init; }

    /// <summary>Their sizes, bytes.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>Memory that they take, bytes.</summary>
    public required long MemoryBytes { get; init; }
}
