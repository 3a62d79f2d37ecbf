namespace UffdManager.Control;

/// <summary>A tenant at one moment.</summary>
public sealed record TenantDto
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Whether the configuration in use has it.</summary>
    public required bool Configured { get; init; }

    /// <summary>Whether peers that match no tenant belong to it.</summary>
    public required bool Default { get; init; }

    /// <summary>Who belongs to it.</summary>
    public required TenantMatchDto Match { get; init; }

    /// <summary>Share of the fetch threads.</summary>
    public required int Weight { get; init; }

    /// <summary>Policy of sessions that ask for none.</summary>
    public required string? DefaultPolicy { get; init; }

    /// <summary>Policies that may be asked for beside it; * is all.</summary>
    public required IReadOnlyList<string> Policies { get; init; }

    /// <summary>What it may hold.</summary>
    public required TenantLimitsDto Limits { get; init; }

    /// <summary>What it holds.</summary>
    public required TenantUsageDto Usage { get; init; }

    /// <summary>What was counted since the daemon started.</summary>
    public required TenantCountersDto Counters { get; init; }

    /// <summary>Service times of its faults.</summary>
    public required LatencyDto Latency { get; init; }
}
