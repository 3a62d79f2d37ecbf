namespace UffdManager.Daemon.Configuration;

/// <summary>Export to an OpenTelemetry collector: section <c>otlp</c>. Changes need a restart.</summary>
public sealed record OtlpOptions
{
    /// <summary>Whether anything is exported.</summary>
    public required bool Enabled { get; init; }

    /// <summary>URL of the collector.</summary>
    public required string Endpoint { get; init; }

    /// <summary>"grpc" or "http/protobuf".</summary>
    public required string Protocol { get; init; }

    /// <summary>Time between two exports of metrics.</summary>
    public required TimeSpan Interval { get; init; }

    /// <summary>Whether metrics are exported.</summary>
    public required bool Metrics { get; init; }

    /// <summary>Whether traces are exported.</summary>
    public required bool Traces { get; init; }
}
