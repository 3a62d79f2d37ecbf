namespace UffdManager.Control;

/// <summary>What one tenant has in the cache.</summary>
public sealed record ImageCacheTenantDto
{
    /// <summary>Its name; (none) for what operators have warmed.</summary>
    public required string Tenant { get; init; }

    /// <summary>Charged to it: chunks that it was the first to want.</summary>
    public required long Bytes { get; init; }

    /// <summary>Chunks read for it.</summary>
    public required long Misses { get; init; }

    /// <summary>Chunks of its that were given up.</summary>
    public required long Evictions { get; init; }
}
