namespace UffdManager.Daemon.Configuration;

/// <summary>The HTTP endpoint for metrics and health: section <c>metrics</c>.</summary>
public sealed record MetricsOptions
{
    /// <summary>Whether the endpoint is served at all.</summary>
    public required bool Enabled { get; init; }

    /// <summary>IP address to listen on. The endpoint has no authentication.</summary>
    public required string Address { get; init; }

    /// <summary>TCP port, 0 to 65535; 0 takes any free one and logs it.</summary>
    public required int Port { get; init; }

    /// <summary>Whether the endpoint also serves the dashboard and its data.</summary>
    public required bool Dashboard { get; init; }

    /// <summary>Faults that take longer than this become traces.</summary>
    public required TimeSpan SlowFault { get; init; }
}
