using Microsoft.Extensions.DependencyInjection;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;

namespace UffdManager.Daemon.Hosting;

/// <summary>The composition root.</summary>
internal static class ServiceCollectionExtensions
{
    /// <summary>
    /// Registers the whole daemon. Hosted services start in the order written here and stop in the reverse: metrics live longest, front doors
    /// shut first, and the reader of engine events outlives the engine's stop so that it can tell what became of each client.
    /// </summary>
    public static IServiceCollection AddUffdManager(this IServiceCollection services, ConfigurationFiles files, LoadedConfiguration loaded)
    {
        ManagerConfiguration configuration = loaded.Value ?? throw new ArgumentException("the configuration has errors", nameof(loaded));
        services.AddSingleton(files);
        services.AddSingleton(loaded);
        services.AddSingleton(configuration);
        services.AddSingleton(configuration.Listen);
        services.AddSingleton(configuration.Metrics);
        services.AddSingleton(configuration.Otlp);
        services.AddSingleton(TimeProvider.System);
        services.AddDaemonLogging(configuration.Logging);

        services.AddSingleton<ConfigurationInUse>();
        services.AddSingleton<DrainGate>();
        services.AddSingleton<IDrainGate>(provider => provider.GetRequiredService<DrainGate>());
        services.AddSingleton<Readiness>();
        services.AddSingleton<IReadiness>(provider => provider.GetRequiredService<Readiness>());
        services.AddSingleton<TenantCatalog>();
        services.AddSingleton<ITenantResolver>(provider => provider.GetRequiredService<TenantCatalog>());
        services.AddSingleton<PolicyCatalog>();
        services.AddSingleton<IPolicyCatalog>(provider => provider.GetRequiredService<PolicyCatalog>());
        services.AddSingleton<ISourceCatalog, SourceCatalog>();
        services.AddSingleton(_ => KernelSupport.Probe());
        services.AddSingleton(provider =>
        {
            // Asked first: it can say why there is no userfaultfd, and what to do about it.
            provider.GetRequiredService<KernelSupport>();
            return new FaultEngine(EngineOptions(configuration.Engine));
        });

        services.AddSingleton<IEngineEventSink, EventLogger>();
        services.AddUffdTelemetry();
        services.AddHostedService<EventPump>();

        // Before the long part of the start: SIGHUP kills a process that does not expect it.
        services.AddHostedService<ReloadService>();
        services.AddHostedService<EngineService>();
        services.AddSingleton<NativeFrontDoor>();
        services.AddSingleton<IFrontDoor>(provider => provider.GetRequiredService<NativeFrontDoor>());
        services.AddSingleton<IEngineEventSink>(provider => provider.GetRequiredService<NativeFrontDoor>());
        services.AddHostedService<FrontDoorService>();
        services.AddHostedService<ReadyService>();
        return services;
    }

    private static EngineOptions EngineOptions(EngineSettings settings)
    {
        EngineOptions defaults = new();
        return defaults with
        {
            FaultLoops = settings.FaultLoops == 0 ? defaults.FaultLoops : settings.FaultLoops,
            FetchThreads = settings.FetchThreads,
            FetchConcurrencyPerTenant = settings.FetchConcurrencyPerTenant,
            PinLoops = settings.PinLoops,
            LivenessSweep = settings.LivenessSweep,
            AdoptionTimeout = settings.AdoptionTimeout,
        };
    }
}
