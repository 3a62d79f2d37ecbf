using Microsoft.Extensions.DependencyInjection;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Dashboard;

/// <summary>The one registration of this folder.</summary>
internal static class DashboardServiceCollectionExtensions
{
    /// <summary>Registers the page, unless the configuration is against it. Wants in the container what <see cref="LiveSource"/> does.</summary>
    public static IServiceCollection AddDashboard(this IServiceCollection services, MetricsOptions metrics)
    {
        if (!metrics.Enabled || !metrics.Dashboard)
            return services;

        services.AddSingleton<DashboardAssets>();
        services.AddSingleton<ILiveSource, LiveSource>();
        services.AddSingleton<LiveFeed>();
        services.AddHostedService(provider => provider.GetRequiredService<LiveFeed>());
        services.AddSingleton<MemoryCounter>();
        services.AddSingleton<IEndpointPages, DashboardRoutes>();
        return services;
    }
}
