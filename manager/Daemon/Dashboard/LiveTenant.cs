using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>A tenant at one moment, and what it did in the interval before.</summary>
internal sealed record LiveTenant
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Whether the configuration in use has it.</summary>
    public required bool Configured { get; init; }

    /// <summary>What it may hold.</summary>
    public required TenantLimitsDto Limits { get; init; }

    /// <summary>What it holds.</summary>
    public required TenantUsageDto Usage { get; init; }

    /// <summary>What it did; null for one that the interval does not have.</summary>
    public required TopTenantDto? Rates { get; init; }
}
