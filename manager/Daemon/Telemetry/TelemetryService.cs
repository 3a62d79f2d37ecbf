using Microsoft.Extensions.Hosting;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Starts and stops telemetry in order. Taking the instruments and the pipeline as parameters is what brings them to life: instruments exist
/// in the order of their declaration, and the pipeline listens before the first number is reported.
/// </summary>
internal sealed class TelemetryService : IHostedService
{
    private readonly FaultSamplePump _pump;
    private readonly TelemetryEndpoint _endpoint;

    public TelemetryService(
        TelemetryPipeline pipeline,
        EngineMetrics engineMetrics,
        FaultSamplePump pump,
        EngineEventMetrics engineEventMetrics,
        FrontDoorMetrics frontDoorMetrics,
        ProcessMetrics processMetrics,
        TelemetryEndpoint endpoint)
    {
        ArgumentNullException.ThrowIfNull(pipeline);
        ArgumentNullException.ThrowIfNull(engineMetrics);
        ArgumentNullException.ThrowIfNull(engineEventMetrics);
        ArgumentNullException.ThrowIfNull(frontDoorMetrics);
        ArgumentNullException.ThrowIfNull(processMetrics);
        _pump = pump;
        _endpoint = endpoint;
    }

    /// <inheritdoc/>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await _endpoint.StartAsync(cancellationToken);
        await _pump.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _endpoint.StopAsync(cancellationToken);
        await _pump.StopAsync(cancellationToken);
    }
}
