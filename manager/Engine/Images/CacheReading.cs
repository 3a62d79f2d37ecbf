namespace UffdManager.Engine.Images;

/// <summary>The chunk cache at one moment.</summary>
/// <param name="LimitBytes">What it may hold.</param>
/// <param name="Bytes">What it holds, chunks that are being read among it.</param>
/// <param name="Hits">Times that a fault or a fetch found its pages in the cache, since start.</param>
/// <param name="Bypasses">Reads that found no room in the cache, since start.</param>
/// <param name="Tenants">By who is charged.</param>
public sealed record CacheReading(long LimitBytes, long Bytes, long Hits, long Bypasses, IReadOnlyList<CacheTenantReading> Tenants);
