using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine.State;

namespace UffdManager.Daemon.Supervision;

/// <summary>The one registration of this folder.</summary>
internal static class SupervisionServiceCollectionExtensions
{
    private const string CapacityVariable = "FDSTORE";

    /// <summary>Registers the daemon's side of being supervised.</summary>
    /// <param name="services">The container.</param>
    /// <param name="inherited">What the process was started with; not owned by the container.</param>
    /// <param name="watchdog">Whether the service manager watches.</param>
    /// <param name="signals">Takes the place of the host's console lifetime.</param>
    public static IServiceCollection AddSupervision(
        this IServiceCollection services, InheritedDescriptors inherited, WatchdogSettings watchdog, StopSignals signals)
    {
        services.AddSingleton(inherited);
        services.AddSingleton(watchdog);
        services.AddSingleton<IHostLifetime>(signals);
        services.AddSingleton(provider =>
        {
            NotifySocket socket = new(Environment.GetEnvironmentVariable(NotifySocket.Variable));
            ILogger logger = provider.GetRequiredService<ILogger<NotifySocket>>();
            socket.TellProblemsTo(problem => NotifySocket.LogProblem(logger, problem));
            return socket;
        });
        services.AddSingleton<ServiceManager>();
        services.AddSingleton(provider => new SystemdDescriptorStore(
            provider.GetRequiredService<NotifySocket>(),
            Environment.GetEnvironmentVariable(CapacityVariable),
            provider.GetRequiredService<InheritedDescriptors>().Names));
        services.AddSingleton<IDescriptorStore>(provider => provider.GetRequiredService<SystemdDescriptorStore>());
        services.AddSingleton<StatusReporter>();
        services.AddSingleton<Watchdog>();
        services.AddSingleton<HandOver>();
        services.AddSingleton<RestoreResult>();
        services.AddSingleton<ISupervisionReadings, SupervisionReadings>();
        services.AddSingleton<Restorer>();
        return services;
    }
}
