namespace UffdManager.Daemon.Configuration;

/// <summary>Which peers are a tenant: <c>tenants.NAME.match</c>. One of the lists matching is enough.</summary>
public sealed record TenantMatchOptions
{
    /// <summary>User ids.</summary>
    public required IReadOnlyList<uint> Uids { get; init; }

    /// <summary>Primary group ids.</summary>
    public required IReadOnlyList<uint> Gids { get; init; }

    /// <summary>Cgroup paths; each matches itself and everything below it.</summary>
    public required IReadOnlyList<string> Cgroups { get; init; }
}
