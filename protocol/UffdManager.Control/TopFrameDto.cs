namespace UffdManager.Control;

/// <summary>One line of top: one interval.</summary>
public sealed record TopFrameDto
{
    /// <summary>End of the interval.</summary>
    public required string At { get; init; }

    /// <summary>Its true length.</summary>
    public required double IntervalSeconds { get; init; }

    /// <summary>As of Status.</summary>
    public required string Phase { get; init; }

    /// <summary>Everything; its name is empty.</summary>
    public required TopTenantDto Total { get; init; }

    /// <summary>Every tenant, by name.</summary>
    public required IReadOnlyList<TopTenantDto> Tenants { get; init; }

    /// <summary>The busiest.</summary>
    public required IReadOnlyList<TopSessionDto> Sessions { get; init; }

    /// <summary>The fault loops.</summary>
    public required IReadOnlyList<TopLoopDto> Loops { get; init; }
}
