using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>
/// The telemetry of a daemon as the container builds it, on a port of its own, with the engine and the phases in the hands of the test.
/// Tests that use it run one at a time, because meters are found by name across the whole process.
/// </summary>
internal sealed class TelemetryHost : IAsyncDisposable, IReadiness, IProcessHealth
{
    public const string Collection = "One telemetry host at a time";

    private readonly ServiceProvider _services;
    private readonly TelemetryService _service;

    private TelemetryHost(MetricsOptions metrics, OtlpOptions otlp, Action<IServiceCollection>? more)
    {
        var services = new ServiceCollection();
        services.AddSingleton(metrics).AddSingleton(otlp).AddSingleton(TimeProvider.System).AddSingleton<IReadiness>(this);
        services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        services.AddUffdTelemetry();
        services.AddSingleton<IEngineTelemetry>(Engine).AddSingleton<IProcessHealth>(this);
        more?.Invoke(services);
        _services = services.BuildServiceProvider();
        _service = _services.GetServices<Microsoft.Extensions.Hosting.IHostedService>().OfType<TelemetryService>().Single();
    }

    public static MetricsOptions AnyPort => new() { Enabled = true, Address = "127.0.0.1", Port = 0, Dashboard = false, SlowFault = TimeSpan.FromMilliseconds(100) };

    public static OtlpOptions NoOtlp => new()
    {
        Enabled = false,
        Endpoint = "http://127.0.0.1:4317",
        Protocol = "grpc",
        Interval = TimeSpan.FromSeconds(60),
        Metrics = true,
        Traces = true,
    };

    public TestEngine Engine { get; } = new();

    public bool IsReady { get; set; } = true;

    public string Reason { get; set; } = "";

    public List<string> Complaints { get; } = [];

    public HttpClient Http { get; } = new();

    public Uri Address => Get<MetricsAddress>().Bound ?? throw new InvalidOperationException("not listening");

    public static async Task<TelemetryHost> StartAsync(MetricsOptions? metrics = null, OtlpOptions? otlp = null, Action<IServiceCollection>? more = null)
    {
        var host = new TelemetryHost(metrics ?? AnyPort, otlp ?? NoOtlp, more);
        try
        {
            await host._service.StartedAsync(CancellationToken.None);
        }
        catch
        {
            await host._services.DisposeAsync();
            throw;
        }

        if (host.Get<MetricsAddress>().Bound is { } address)
        {
            host.Http.BaseAddress = address;
        }

        return host;
    }

    public T Get<T>()
        where T : notnull => _services.GetRequiredService<T>();

    public IEnumerable<T> GetAll<T>() => _services.GetServices<T>();

    /// <summary>The lines of a scrape in Prometheus text.</summary>
    public async Task<string[]> ScrapeAsync() => (await Http.GetStringAsync("/metrics")).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    public Task<IReadOnlyList<string>> ComplaintsAsync(CancellationToken cancellationToken) => Task.FromResult<IReadOnlyList<string>>([.. Complaints]);

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _service.StoppedAsync(CancellationToken.None);
        await _services.DisposeAsync();
    }
}

/// <summary>Tests that start a <see cref="TelemetryHost"/>.</summary>
[CollectionDefinition(TelemetryHost.Collection)]
public sealed class TelemetryHostCollection;
