namespace UffdManager.Daemon.Telemetry;

/// <summary>What the configuration reports to the metrics. Any thread; implementations neither throw nor block.</summary>
public interface IConfigurationTelemetry
{
    /// <summary>A reload has ended.</summary>
    /// <param name="succeeded">False when the new configuration was refused and the old one stays.</param>
    void Reloaded(bool succeeded);
}
