using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Hosting;

/// <summary>Runs the daemon from the reading of the configuration to the exit code.</summary>
internal static class DaemonHost
{
    /// <summary>What the services may take to stop beyond the sessions' grace.</summary>
    private static readonly TimeSpan s_stopMargin = TimeSpan.FromSeconds(15);

    public static async Task<int> RunAsync(ConfigurationFiles files, CancellationToken cancellationToken)
    {
        LoadedConfiguration loaded = ConfigurationLoader.Load(files);
        if (loaded.Value is null)
            return Report(loaded.Errors);

        bool isStarted = false;
        try
        {
            using IHost host = Build(files, loaded);
            using CancellationTokenRegistration started = host.Services.GetRequiredService<IHostApplicationLifetime>()
                .ApplicationStarted.Register(() => isStarted = true);
            await host.RunAsync(cancellationToken);
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
        catch (OperationCanceledException) when (!isStarted)
        {
            // SIGTERM during the start: there was nothing to stop yet.
            return ExitCode.Ok;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"uffd-manager: unexpected: {e}");
            return ExitCode.Software;
        }
    }

    private static IHost Build(ConfigurationFiles files, LoadedConfiguration loaded)
    {
        // The empty builder: appsettings.json and DOTNET_ variables of the working directory have no say in a system daemon.
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings
        {
            ApplicationName = "uffd-manager",
            DisableDefaults = true,
        });
        builder.Services.AddUffdManager(files, loaded);
        builder.Services.Configure<ConsoleLifetimeOptions>(options => options.SuppressStatusMessages = true);
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
