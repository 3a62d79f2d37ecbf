namespace UffdManager.Control;

/// <summary>Which peers belong to a tenant.</summary>
public sealed record TenantMatchDto
{
    /// <summary>User ids.</summary>
    public required IReadOnlyList<long> Uids { get; init; }

    /// <summary>Group ids.</summary>
    public required IReadOnlyList<long> Gids { get; init; }

    /// <summary>Cgroups; each with everything below it.</summary>
    public required IReadOnlyList<string> Cgroups { get; init; }
}
