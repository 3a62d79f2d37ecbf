using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Control;
using UffdManager.Daemon.Dashboard;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Images;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Supervision;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.WorkingSets;
using UffdManager.Engine;
using UffdManager.Engine.Images;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.Hosting;

/// <summary>The composition root.</summary>
internal static class ServiceCollectionExtensions
{
    /// <summary>
    /// Registers the whole daemon. Hosted services start in the order written here and stop in the reverse: front doors shut first, and the
    /// reader of engine events outlives the engine's stop so that it can tell what became of each client. The engine itself runs before all of them
    /// (<see cref="EngineService.ServeAsync"/>); the endpoint of the metrics starts after them, and lives longest.
    /// </summary>
    public static IServiceCollection AddUffdManager(this IServiceCollection services, ConfigurationFiles files, LoadedConfiguration loaded)
    {
        ManagerConfiguration configuration = loaded.Value ?? throw new ArgumentException("the configuration has errors", nameof(loaded));
        services.AddSingleton(files);
        services.AddSingleton(loaded);
        services.AddSingleton(configuration);
        services.AddSingleton(configuration.Listen);
        services.AddSingleton(configuration.Control);
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
        services.AddSingleton(configuration.Images);
        services.AddSingleton(_ => new ChunkCache(configuration.Images.CacheBytes));
        services.AddSingleton<ImageRegistry>();
        services.AddSingleton(provider => PolicyCatalog.AtStart(configuration, provider.GetRequiredService<ImageRegistry>()));
        services.AddSingleton<IPolicyCatalog>(provider => provider.GetRequiredService<PolicyCatalog>());
        services.AddSingleton<SourceCatalog>();
        services.AddSingleton<ISourceCatalog>(provider => provider.GetRequiredService<SourceCatalog>());
        services.AddSingleton(configuration.WorkingSets);
        services.AddSingleton<TraceFiles>();
        services.AddSingleton(_ => KernelSupport.Probe());
        services.AddSingleton(provider =>
        {
            // Asked first: it can say why there is no userfaultfd, and what to do about it.
            provider.GetRequiredService<KernelSupport>();
            return new FaultEngine(EngineOptions(configuration.Engine) with
            {
                DescriptorStore = provider.GetRequiredService<IDescriptorStore>(),
                TraceStore = provider.GetRequiredService<TraceFiles>(),
                ImageCache = provider.GetRequiredService<ChunkCache>(),
            });
        });

        services.AddSingleton<IEngineEventSink, EventLogger>();
        services.AddInspection();
        services.AddUffdTelemetry();
        services.AddDashboard(configuration.Metrics);
        services.AddHostedService<EventPump>();

        // Before the long part of the start: SIGHUP kills a process that does not expect it.
        services.AddSingleton<ReloadService>();
        services.AddHostedService(provider => provider.GetRequiredService<ReloadService>());
        services.AddSingleton<EngineService>();
        services.AddHostedService(provider => provider.GetRequiredService<EngineService>());
        services.AddSingleton<SessionDirectory>();
        services.AddSingleton(_ => new ImageCatalog(configuration.Images.MapBytes));
        services.AddSingleton(provider => MakeNativeFrontDoor(provider, configuration.Listen));
        services.AddSingleton<IFrontDoor>(provider => provider.GetRequiredService<NativeFrontDoor>());
        services.AddSingleton<IEngineEventSink>(provider => provider.GetRequiredService<NativeFrontDoor>());
        services.AddSingleton<SnapshotSessions>();
        services.AddSingleton(provider => MakeSnapshotDoor(provider, configuration));
        services.AddSingleton<IFrontDoor>(provider => provider.GetRequiredService<SnapshotDoor>());
        services.AddHostedService<FrontDoorService>();
        services.AddHostedService(provider => provider.GetRequiredService<StatusReporter>());
        services.AddHostedService(provider => provider.GetRequiredService<Watchdog>());
        services.AddControl();
        services.AddHostedService<ReadyService>();
        return services;
    }

    private static NativeFrontDoor MakeNativeFrontDoor(IServiceProvider provider, ListenOptions options) => new(
        provider.GetRequiredService<FaultEngine>(),
        provider.GetRequiredService<ITenantResolver>(),
        provider.GetRequiredService<IPolicyCatalog>(),
        provider.GetRequiredService<ISourceCatalog>(),
        provider.GetRequiredService<IFrontDoorTelemetry>(),
        provider.GetRequiredService<IServiceTimePercentiles>(),
        options,
        provider.GetRequiredService<ILogger<NativeFrontDoor>>(),
        provider.GetRequiredService<TimeProvider>(),
        provider.GetRequiredService<InheritedDescriptors>().TakeListener(InheritedDescriptors.Native, UnixSocketType.SeqPacket),
        provider.GetRequiredService<IDrainGate>(),
        provider.GetRequiredService<IDescriptorStore>(),
        provider.GetRequiredService<SessionDirectory>(),
        provider.GetRequiredService<ImageCatalog>());

    private static SnapshotDoor MakeSnapshotDoor(IServiceProvider provider, ManagerConfiguration configuration) => new(
        new SnapshotServices(
            provider.GetRequiredService<FaultEngine>(),
            provider.GetRequiredService<TenantCatalog>(),
            provider.GetRequiredService<IPolicyCatalog>(),
            provider.GetRequiredService<ISourceCatalog>(),
            provider.GetRequiredService<IFrontDoorTelemetry>(),
            provider.GetRequiredService<ILogger<SnapshotDoor>>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<IDrainGate>(),
            HandOverDecoders.BuiltIn,
            provider.GetRequiredService<SnapshotSessions>(),
            provider.GetRequiredService<IDescriptorStore>(),
            configuration.Listen.MaxConnections,
            PeerProcess.TryIdentify),
        configuration.Snapshots,
        InheritedSnapshots.From(provider.GetRequiredService<InheritedDescriptors>().TakeNamed(SnapshotKeeper.Prefix)));

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
