namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>The two text formats in which the metrics are served.</summary>
public enum ExpositionFormat
{
    /// <summary>Prometheus text exposition format, version 0.0.4.</summary>
    PrometheusText,

    /// <summary>OpenMetrics text format, version 1.0.0.</summary>
    OpenMetrics,
}
