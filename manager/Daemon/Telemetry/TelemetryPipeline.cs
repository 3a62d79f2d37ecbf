using System.Diagnostics.Metrics;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Telemetry.Exposition;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// The OpenTelemetry providers: metrics for the scraper always, metrics and traces to a collector when the configuration says so.
/// Disposing exports what is left, within the SDK's time limits.
/// </summary>
internal sealed class TelemetryPipeline : IDisposable
{
    private readonly MeterProvider _metrics;
    private readonly TracerProvider? _traces;

    public TelemetryPipeline(Meter meter, MetricsScraper scraper, OtlpOptions otlp)
    {
        var resource = ResourceBuilder.CreateEmpty()
            .AddService("uffd-manager", serviceVersion: ProcessMetrics.Version)
            .AddAttributes([new("host.name", Environment.MachineName), new("process.pid", Environment.ProcessId)]);

        var metrics = Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(resource)
            .AddMeter(meter.Name)
            .AddView(MeterViews.For)
            .AddReader(scraper.Reader);
        if (otlp is { Enabled: true, Metrics: true })
        {
            metrics.AddOtlpExporter((exporter, reader) =>
            {
                Configure(exporter, otlp, "v1/metrics");
                reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = (int)otlp.Interval.TotalMilliseconds;
            });
        }

        _metrics = metrics.Build();

        if (otlp is { Enabled: true, Traces: true })
        {
            _traces = Sdk.CreateTracerProviderBuilder()
                .SetResourceBuilder(resource)
                .SetSampler(new AlwaysOnSampler())
                .AddSource(ManagerActivities.SourceName)
                .AddOtlpExporter(exporter => Configure(exporter, otlp, "v1/traces"))
                .Build();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _traces?.Dispose();
        _metrics.Dispose();
    }

    private static void Configure(OtlpExporterOptions exporter, OtlpOptions options, string httpPath)
    {
        bool http = options.Protocol == "http/protobuf";
        exporter.Protocol = http ? OtlpExportProtocol.HttpProtobuf : OtlpExportProtocol.Grpc;

        // Over HTTP the SDK appends the signal's path only to an endpoint that it took from the environment.
        exporter.Endpoint = http ? new Uri(options.Endpoint.TrimEnd('/') + "/" + httpPath) : new Uri(options.Endpoint);
    }
}
