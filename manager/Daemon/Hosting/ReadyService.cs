using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Hosting;

/// <summary>The last to start and the first to stop: says that the daemon serves, and since when it no longer does.</summary>
internal sealed partial class ReadyService(
    Readiness readiness, LoadedConfiguration loaded, MetricsAddress metrics, ILogger<ReadyService> logger) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (string warning in ConfigurationWarnings.Of(loaded.Value!))
            LogWarning(warning);
        readiness.MarkReady();
        LogReady(loaded.Value!.Listen.Socket, metrics.Bound?.ToString() ?? "off", string.Join(", ", loaded.Origins));
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        readiness.MarkStopping();
        return Task.CompletedTask;
    }

    [LoggerMessage(1011, LogLevel.Warning, "Configuration: {Warning}")]
    private partial void LogWarning(string warning);

    [LoggerMessage(1010, LogLevel.Information, "Ready: socket {Socket}, metrics {Metrics}, configuration from {Origins}")]
    private partial void LogReady(string socket, string metrics, string origins);
}
