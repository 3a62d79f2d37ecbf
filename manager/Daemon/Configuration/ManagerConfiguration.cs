namespace UffdManager.Daemon.Configuration;

/// <summary>The whole configuration, validated. Immutable; a reload makes a new one.</summary>
public sealed record ManagerConfiguration
{
    /// <summary>Section <c>listen</c>.</summary>
    public required ListenOptions Listen { get; init; }

    /// <summary>Section <c>control</c>: the socket.</summary>
    public required ControlOptions Control { get; init; }

    /// <summary>Section <c>control</c>: who may use it.</summary>
    public required ControlAccessOptions ControlAccess { get; init; }

    /// <summary>Section <c>metrics</c>.</summary>
    public required MetricsOptions Metrics { get; init; }

    /// <summary>Section <c>engine</c>.</summary>
    public required EngineSettings Engine { get; init; }

    /// <summary>Section <c>logging</c>.</summary>
    public required LoggingOptions Logging { get; init; }

    /// <summary>Section <c>otlp</c>.</summary>
    public required OtlpOptions Otlp { get; init; }

    /// <summary>Section <c>workingSets</c>.</summary>
    public required WorkingSetOptions WorkingSets { get; init; }

    /// <summary>Section <c>shutdown</c>.</summary>
    public required ShutdownOptions Shutdown { get; init; }

    /// <summary>Section <c>images</c>.</summary>
    public required ImageOptions Images { get; init; }

    /// <summary>Section <c>policies</c>, by name.</summary>
    public required IReadOnlyDictionary<string, PolicyOptions> Policies { get; init; }

    /// <summary>Section <c>tenants</c>, by name.</summary>
    public required IReadOnlyDictionary<string, TenantOptions> Tenants { get; init; }

    /// <summary>Section <c>snapshots</c>, by name.</summary>
    public required IReadOnlyDictionary<string, SnapshotOptions> Snapshots { get; init; }
}
