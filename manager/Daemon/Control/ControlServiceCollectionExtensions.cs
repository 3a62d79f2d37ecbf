using Microsoft.Extensions.DependencyInjection;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Control;

/// <summary>The registrations of the control API and of the read model behind it.</summary>
internal static class ControlServiceCollectionExtensions
{
    /// <summary>What the daemon can tell about itself; to be called before the telemetry is built.</summary>
    public static IServiceCollection AddInspection(this IServiceCollection services)
    {
        services.AddSingleton<FaultStatistics>();
        services.AddSingleton<IFaultSampleSink>(provider => provider.GetRequiredService<FaultStatistics>());
        services.AddSingleton<IEngineEventSink>(provider => provider.GetRequiredService<FaultStatistics>());
        services.AddSingleton<LoopSampler>();
        services.AddHostedService(provider => provider.GetRequiredService<LoopSampler>());
        services.AddSingleton<DaemonSockets>();
        services.AddSingleton<Succession>();
        services.AddSingleton<Inspector>();
        services.AddSingleton<TopSampler>();
        return services;
    }

    /// <summary>The control socket. The last hosted service to be registered: it looks at all others.</summary>
    public static IServiceCollection AddControl(this IServiceCollection services)
    {
        services.AddSingleton<AccessRules>();
        services.AddSingleton<ConnectionGate>();
        services.AddSingleton<ControlLimits>();
        services.AddSingleton<ControlRouter>();
        services.AddSingleton<IControlRoutes, StatusRoutes>();
        services.AddSingleton<IControlRoutes, SessionRoutes>();
        services.AddSingleton<IControlRoutes, TrackingRoutes>();
        services.AddSingleton<LiveSnapshots.LiveSnapshotService>();
        services.AddSingleton<IControlRoutes, SessionSnapshotRoutes>();
        services.AddSingleton<IControlRoutes, ConfigurationRoutes>();
        services.AddSingleton<IControlRoutes, LogLevelRoutes>();
        services.AddSingleton<IControlRoutes, DrainRoutes>();
        services.AddSingleton<WorkingSets.WorkingSetBooks>();
        services.AddSingleton<IControlRoutes, ImageRoutes>();
        services.AddSingleton<IControlRoutes, WorkingSetRoutes>();
        services.AddSingleton<IControlRoutes, ImageWarmingRoutes>();
        services.AddSingleton<IControlRoutes, TopRoutes>();
        services.AddSingleton<IControlRoutes, SnapshotRoutes>();
        services.AddSingleton<BundleWriter>();
        services.AddSingleton<IControlRoutes, BundleRoutes>();
        services.AddHostedService<ControlService>();
        return services;
    }
}
