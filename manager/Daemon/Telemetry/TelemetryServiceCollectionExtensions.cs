using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry.Exposition;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The one registration of this folder.</summary>
public static class TelemetryServiceCollectionExtensions
{
    /// <summary>
    /// Registers what the other parts report to (<see cref="IFrontDoorTelemetry"/>, <see cref="IConfigurationTelemetry"/>, sinks of
    /// engine events), what they ask (<see cref="IServiceTimePercentiles"/>, <see cref="MetricsAddress"/>) and the hosted services.
    /// Wants in the container: FaultEngine, MetricsOptions, OtlpOptions, IReadiness, TimeProvider, ILoggerFactory. To be called before the
    /// hosted services of engine and front doors are registered: the endpoint then starts first and stops last.
    /// </summary>
    public static IServiceCollection AddUffdTelemetry(this IServiceCollection services)
    {
        services.AddSingleton(_ => new Meter(Instruments.MeterName, ProcessMetrics.Version));
        services.AddSingleton<TenantLabels>(_ => new());
        services.AddSingleton<IEngineTelemetry, EngineTelemetry>();
        services.AddSingleton<EngineReadings>();
        services.AddSingleton<EngineMetrics>();
        services.AddSingleton<ImageCacheMetrics>();
        services.AddSingleton<SlowFaultTracer>();

        services.AddSingleton(AfterPipeline<ProcessMetrics>);
        services.AddSingleton<IConfigurationTelemetry>(s => s.GetRequiredService<ProcessMetrics>());
        services.TryAddSingleton<ISupervisionReadings, NoSupervision>();
        services.AddSingleton(AfterPipeline<SupervisionMetrics>);
        services.AddSingleton(AfterPipeline<FrontDoorMetrics>);
        services.AddSingleton<IFrontDoorTelemetry>(s => s.GetRequiredService<FrontDoorMetrics>());
        services.AddSingleton(AfterPipeline<LiveSnapshotMetrics>);
        services.AddSingleton(AfterPipeline<EngineEventMetrics>);
        services.AddSingleton<IEngineEventSink>(s => s.GetRequiredService<EngineEventMetrics>());
        services.AddSingleton<IEngineEventSink, SessionTracer>();
        services.AddSingleton<FaultSamplePump>();
        services.AddSingleton<IServiceTimePercentiles>(s => s.GetRequiredService<FaultSamplePump>());

        services.AddSingleton<MetricsScraper>(s =>
        {
            var pump = s.GetRequiredService<FaultSamplePump>();
            var readings = s.GetRequiredService<EngineReadings>();
            return new(() =>
            {
                pump.Drain();
                readings.Invalidate();
            });
        });
        services.AddSingleton<TelemetryPipeline>();
        services.AddSingleton<MetricsAddress>();
        services.AddSingleton<IProcessHealth, LoopHealth>();
        services.AddSingleton<TelemetryRoutes>();
        services.AddSingleton<TelemetryEndpoint>();
        services.AddHostedService<TelemetryService>();
        return services;
    }

    /// <summary>What is reported to an instrument before the pipeline listens is lost, the zeros of the closed label sets among it.</summary>
    private static T AfterPipeline<T>(IServiceProvider services)
    {
        services.GetRequiredService<TelemetryPipeline>();
        return ActivatorUtilities.CreateInstance<T>(services);
    }
}
