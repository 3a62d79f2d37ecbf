using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Hosting;

/// <summary>The last to start and the first to stop: says that the daemon serves, and since when it no longer does.</summary>
internal sealed partial class ReadyService(
    Readiness readiness,
    LoadedConfiguration loaded,
    MetricsAddress metrics,
    NativeFrontDoor door,
    ServiceManager serviceManager,
    StatusReporter status,
    Restorer restorer,
    ILogger<ReadyService> logger) : IHostedLifecycleService
{
    /// <summary>After everything has started, and what starts after that: the endpoint of the metrics.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        foreach (string warning in ConfigurationWarnings.Of(loaded.Value!))
            LogWarning(warning);
        restorer.CloseForeign();
        readiness.MarkReady();
        serviceManager.Ready(status.Describe());
        LogReady(door.Address, metrics.Bound?.ToString() ?? "off", string.Join(", ", loaded.Origins));
        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        readiness.MarkStopping();
        serviceManager.Stopping("Stopping: " + status.Describe());
        return Task.CompletedTask;
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    [LoggerMessage(1011, LogLevel.Warning, "Configuration: {Warning}")]
    private partial void LogWarning(string warning);

    [LoggerMessage(1010, LogLevel.Information, "Ready: socket {Socket}, metrics {Metrics}, configuration from {Origins}")]
    private partial void LogReady(string socket, string metrics, string origins);
}
