namespace UffdManager.Daemon.FrontDoors;

/// <summary>Objects made by MAP that one tenant has of one source.</summary>
/// <param name="Tenant">Who is charged.</param>
/// <param name="Source">Identity of the source (<see cref="Sources.SourceLease.Identity"/>).</param>
/// <param name="Objects">How many.</param>
/// <param name="SizeBytes">Their sizes together, which limits go by.</param>
/// <param name="MemoryBytes">Memory that they take.</param>
internal sealed record MappedShare(string Tenant, string Source, int Objects, long SizeBytes, long MemoryBytes)
{
    /// <summary>All of some as one.</summary>
    public static MappedShare Sum(string tenant, string source, IReadOnlyCollection<MappedShare> shares) =>
        new(tenant, source, shares.Sum(share => share.Objects), shares.Sum(share => share.SizeBytes), shares.Sum(share => share.MemoryBytes));
}
