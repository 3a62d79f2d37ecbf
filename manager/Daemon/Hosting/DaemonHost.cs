using System.Runtime.InteropServices;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;

namespace UffdManager.Daemon.Hosting;

/// <summary>Runs the daemon from the reading of the configuration to the exit code.</summary>
internal static class DaemonHost
{
    /// <summary>What the services may take to stop beyond the sessions' grace.</summary>
    private static readonly TimeSpan s_stopMargin = TimeSpan.FromSeconds(15);

    /// <summary>How long the service manager may take to read the last messages.</summary>
    private static readonly TimeSpan s_lastMessages = TimeSpan.FromSeconds(2);

    /// <param name="files">Where the configuration is.</param>
    /// <param name="inherited">What the process was started with; taken over.</param>
    public static async Task<int> RunAsync(ConfigurationFiles files, InheritedDescriptors inherited)
    {
        using InheritedDescriptors descriptors = inherited;
        bool sessionsWait = inherited.HoldsSessions;
        int code = await RunAsync(files, inherited, WatchdogSettings.Read());
        if (!sessionsWait || code is not (ExitCode.Usage or ExitCode.KernelLacksFeature or ExitCode.Permission or ExitCode.Configuration))
            return code;

        // After these codes a service manager does not try again, and closes what it kept: the clients would read zeros.
        await Console.Error.WriteLineAsync(
            $"uffd-manager: sessions of the manager before this one wait in the descriptor store: exit code {ExitCode.TemporaryFailure} instead of {code}, to be started again until the cause is mended");
        return ExitCode.TemporaryFailure;
    }

    private static async Task<int> RunAsync(ConfigurationFiles files, InheritedDescriptors inherited, WatchdogSettings watchdog)
    {
        // Before anything slow: a signal that nobody expects ends the process.
        using StopSignals signals = new();
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        if (loaded.Value is null)
            return Report(loaded.Errors);

        IHost? host = null;
        bool isHandedOver = false;
        bool isServing = false;
        try
        {
            host = Build(files, loaded, inherited, watchdog, signals);

            // What serves faults comes first. Only then is the rest looked at, and the code for it loaded.
            isServing = true;
            await host.Services.GetRequiredService<EngineService>().ServeAsync();
            await host.StartAsync();
            PosixSignal signal = await signals.Asked;
            HandOver handOver = host.Services.GetRequiredService<HandOver>();
            isHandedOver = await handOver.IsMeantByAsync(signal);
            if (isHandedOver)
            {
                await handOver.RunAsync();
                host.Services.GetRequiredService<ILoggerFactory>().Dispose();
                return ExitCode.Ok;
            }

            await host.StopAsync();
            isServing = false;
            await host.Services.GetRequiredService<NotifySocket>().FlushAsync(s_lastMessages);
            return ExitCode.Ok;
        }
        catch (ConfigurationException e)
        {
            return Report(e.Errors);
        }
        catch (StartException e)
        {
            await Console.Error.WriteLineAsync($"uffd-manager: {e.Message}");
            return e.ExitCode;
        }
        catch (MetricsBindException e)
        {
            await Console.Error.WriteLineAsync($"uffd-manager: {e.Message}");
            return ExitCode.Unavailable;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"uffd-manager: unexpected: {e}");
            return ExitCode.Software;
        }
        finally
        {
            // What a manager leaves behind at a hand-over is closed by its end, faster than one by one.
            if (!isHandedOver && !(isServing && await TryLeaveSessionsAsync(host!)))
                host?.Dispose();
        }
    }

    // A start that fails after sessions were taken over, or a stop that fails, must not end them: they stay in the store for whoever comes next.
    private static async Task<bool> TryLeaveSessionsAsync(IHost host)
    {
        try
        {
            FaultEngine engine = host.Services.GetRequiredService<FaultEngine>();
            int sessions = engine.Sessions().Count;
            if (sessions == 0)
                return false;
            await engine.HandOverAsync();
            await host.Services.GetRequiredService<NotifySocket>().FlushAsync(s_lastMessages);
            await Console.Error.WriteLineAsync($"uffd-manager: {sessions} sessions are left in the descriptor store for the next manager");
            return true;
        }
#pragma warning disable CA1031 // Why the start failed has been told; there is no engine, or it cannot be spoken to.
        catch (Exception)
#pragma warning restore CA1031
        {
            return false;
        }
    }

    private static IHost Build(
        ConfigurationFiles files, LoadedConfiguration loaded, InheritedDescriptors inherited, WatchdogSettings watchdog, StopSignals signals)
    {
        // The empty builder: appsettings.json and DOTNET_ variables of the working directory have no say in a system daemon.
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings
        {
            ApplicationName = "uffd-manager",
            DisableDefaults = true,
        });
        builder.Services.AddUffdManager(files, loaded);
        builder.Services.AddSupervision(inherited, watchdog, signals);
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = loaded.Value!.Shutdown.Grace + s_stopMargin);
        return builder.Build();
    }

    private static int Report(IReadOnlyList<ConfigurationError> errors)
    {
        foreach (ConfigurationError error in errors)
            Console.Error.WriteLine($"uffd-manager: {error}");
        return ExitCode.Configuration;
    }
}
