using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>The daemon at one moment, and what it did in the interval before: the event that streams repeat.</summary>
internal sealed record LiveFrame
{
    /// <summary>End of the interval.</summary>
    public required string At { get; init; }

    /// <summary>Its true length.</summary>
    public required double IntervalSeconds { get; init; }

    /// <summary>How the daemon is.</summary>
    public required LiveStatus Status { get; init; }

    /// <summary>Sums of this moment and since the start.</summary>
    public required TotalsDto Totals { get; init; }

    /// <summary>Everything, in the interval.</summary>
    public required TopTenantDto Total { get; init; }

    /// <summary>The tenants that are shown, by name.</summary>
    public required IReadOnlyList<LiveTenant> Tenants { get; init; }

    /// <summary>Tenants that are not.</summary>
    public required int OtherTenants { get; init; }

    /// <summary>The sessions that are shown: those with most faults in the interval.</summary>
    public required IReadOnlyList<TopSessionDto> Sessions { get; init; }

    /// <summary>Sessions that are not.</summary>
    public required long OtherSessions { get; init; }

    /// <summary>The fault loops.</summary>
    public required IReadOnlyList<LoopDto> Loops { get; init; }

    /// <summary>The newest slots of the latency history, the oldest first.</summary>
    public required IReadOnlyList<LatencySlotDto> Latency { get; init; }
}
