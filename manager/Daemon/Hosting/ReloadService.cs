using System.Runtime.InteropServices;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;

namespace UffdManager.Daemon.Hosting;

/// <summary>
/// Reads the configuration again on SIGHUP. New connections and sessions live under the new one, existing ones keep theirs; a configuration with
/// errors changes nothing.
/// </summary>
internal sealed partial class ReloadService(
    ConfigurationFiles files,
    ManagerConfiguration started,
    TenantCatalog tenants,
    PolicyCatalog policies,
    SnapshotDoor snapshots,
    FaultEngine engine,
    LogLevelSwitch logLevel,
    ConfigurationInUse inUse,
    IConfigurationTelemetry telemetry,
    ServiceManager serviceManager,
    StatusReporter status,
    TimeProvider time,
    ILogger<ReloadService> logger) : IHostedService, IDisposable
{
    private readonly Lock _reloading = new();
    private PosixSignalRegistration? _signal;
    private ITimer? _retired;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _signal = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            // Else the signal would end the process.
            context.Cancel = true;
            ReloadOrLog();
        });
        _retired = time.CreateTimer(_ => CloseRetired(), state: null, PolicyCatalog.Retention, PolicyCatalog.Retention);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        _signal?.Dispose();
        _retired?.Dispose();
        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _signal?.Dispose();
        _retired?.Dispose();
    }

    /// <summary>Reads the configuration again, and uses it if it has no errors.</summary>
    public ReloadOutcome Reload()
    {
        lock (_reloading)
        {
            serviceManager.Reloading();
            try
            {
                return ReadAndUse();
            }
            finally
            {
                serviceManager.Reloaded(status.Describe());
            }
        }
    }

    /// <summary>What a reload would find, without one.</summary>
    public ReloadOutcome Check()
    {
        lock (_reloading)
        {
            (ReloadOutcome outcome, PolicyCatalog.Prepared? prepared) = Read();
            prepared?.Discard();
            return outcome;
        }
    }

    private ReloadOutcome ReadAndUse()
    {
        (ReloadOutcome outcome, PolicyCatalog.Prepared? prepared) = Read();
        if (!outcome.Succeeded)
        {
            prepared?.Discard();
            foreach (ConfigurationError error in outcome.Errors)
                LogError(error);
            LogRefused(outcome.Errors.Count);
            telemetry.Reloaded(succeeded: false);
            return outcome;
        }

        // Policies first: a tenant may name one that only exists now.
        ManagerConfiguration configuration = outcome.Loaded.Value!;
        policies.Commit(prepared!);
        tenants.Apply(configuration);
        _ = snapshots.Apply(configuration.Snapshots);
        logLevel.Configure(configuration.Logging.Level);
        inUse.Replace(outcome.Loaded, outcome.NeedsRestart);
        foreach (string warning in outcome.Warnings)
            LogWarning(warning);
        foreach (string section in outcome.NeedsRestart)
            LogNeedsRestart(section);
        LogReloaded(configuration.Tenants.Count, configuration.Policies.Count, string.Join(", ", outcome.Loaded.Origins));
        telemetry.Reloaded(succeeded: true);
        return outcome;
    }

    // Opens what the new configuration names.
    private (ReloadOutcome Outcome, PolicyCatalog.Prepared? Prepared) Read()
    {
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        List<ConfigurationError> errors = [.. loaded.Errors];
        PolicyCatalog.Prepared? prepared = loaded.Value is null ? null : policies.Prepare(loaded.Value, errors);
        return loaded.Value is { } value && errors.Count == 0
            ? (new ReloadOutcome([], [.. ConfigurationWarnings.Of(value)], [.. ChangedButFixed(value)], loaded), prepared)
            : (new ReloadOutcome(errors, [], [], loaded), prepared);
    }

    // Runs as a signal handler, where an exception would end the process.
    private void ReloadOrLog()
    {
        try
        {
            Reload();
        }
        catch (Exception e)
        {
            LogReloadFailed(e);
            telemetry.Reloaded(succeeded: false);
        }
    }

    private IEnumerable<string> ChangedButFixed(ManagerConfiguration now)
    {
        if (now.Listen != started.Listen)
            yield return "listen";
        if (now.Control != started.Control)
            yield return "control";
        if (now.Metrics != started.Metrics)
            yield return "metrics";
        if (now.Engine != started.Engine)
            yield return "engine";
        if (now.Images != started.Images)
            yield return "images";
        if (now.Otlp != started.Otlp)
            yield return "otlp";
        if (now.WorkingSets != started.WorkingSets)
            yield return "workingSets";
        if (now.Shutdown != started.Shutdown)
            yield return "shutdown";
        if (now.Logging.Format != started.Logging.Format)
            yield return "logging.format";
    }

    private void CloseRetired() => policies.CloseRetired(engine.Sessions().Select(session => session.DefaultPolicy).ToHashSet());
}
