namespace UffdManager.Engine.Images;

/// <summary>What one tenant has in the chunk cache.</summary>
/// <param name="Tenant">Name of the tenant.</param>
/// <param name="Bytes">Charged to it now: chunks that it was the first to want.</param>
/// <param name="Misses">Chunks read for it since start.</param>
/// <param name="Evictions">Chunks of its that were given up since start.</param>
public sealed record CacheTenantReading(string Tenant, long Bytes, long Misses, long Evictions);
