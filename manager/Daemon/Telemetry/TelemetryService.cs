using Microsoft.Extensions.Hosting;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Starts and stops telemetry in order. Taking the instruments and the pipeline as parameters is what brings them to life: instruments exist
/// in the order of their declaration, and the pipeline listens before the first number is reported. The endpoint opens when everything else
/// runs, because clients should not wait for the code of a web server, and closes when everything else has stopped.
/// </summary>
internal sealed class TelemetryService : IHostedLifecycleService
{
    private readonly FaultSamplePump _pump;
    private readonly TelemetryEndpoint _endpoint;

    public TelemetryService(
        TelemetryPipeline pipeline,
        EngineMetrics engineMetrics,
        ImageCacheMetrics imageCacheMetrics,
        FaultSamplePump pump,
        EngineEventMetrics engineEventMetrics,
        FrontDoorMetrics frontDoorMetrics,
        LiveSnapshotMetrics liveSnapshotMetrics,
        ProcessMetrics processMetrics,
        SupervisionMetrics supervisionMetrics,
        TelemetryEndpoint endpoint)
    {
        ArgumentNullException.ThrowIfNull(pipeline);
        ArgumentNullException.ThrowIfNull(engineMetrics);
        ArgumentNullException.ThrowIfNull(imageCacheMetrics);
        ArgumentNullException.ThrowIfNull(engineEventMetrics);
        ArgumentNullException.ThrowIfNull(frontDoorMetrics);
        ArgumentNullException.ThrowIfNull(liveSnapshotMetrics);
        ArgumentNullException.ThrowIfNull(processMetrics);
        ArgumentNullException.ThrowIfNull(supervisionMetrics);
        _pump = pump;
        _endpoint = endpoint;
    }

    /// <inheritdoc/>
    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        await _endpoint.StartAsync(cancellationToken);
        await _pump.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _endpoint.StopAsync(cancellationToken);
        await _pump.StopAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
