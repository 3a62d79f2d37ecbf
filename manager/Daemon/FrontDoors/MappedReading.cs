namespace UffdManager.Daemon.FrontDoors;

/// <summary>The objects made by MAP at one moment.</summary>
/// <param name="LimitBytes">Sizes that they may have together.</param>
/// <param name="Shares">By tenant and source.</param>
internal sealed record MappedReading(long LimitBytes, IReadOnlyList<MappedShare> Shares)
{
    /// <summary>By tenant, whatever the source, in the order of their names.</summary>
    /// <param name="nameOf">Under which name a tenant is told; those of one name are told together.</param>
    public IReadOnlyList<MappedShare> Tenants(Func<string, string> nameOf) =>
        [.. By(Shares, share => nameOf(share.Tenant))];

    /// <summary>What shows one source, by tenant.</summary>
    public IReadOnlyList<MappedShare> Of(string source) => [.. By(Shares.Where(share => share.Source == source), share => share.Tenant)];

    private static IEnumerable<MappedShare> By(IEnumerable<MappedShare> shares, Func<MappedShare, string> nameOf) =>
        shares.GroupBy(nameOf, StringComparer.Ordinal).OrderBy(group => group.Key, StringComparer.Ordinal).Select(group => MappedShare.Sum(group.Key, "", [.. group]));
}
