using Microsoft.Extensions.Logging.Abstractions;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Engine;
using UffdManager.TestSupport;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>
/// A front door with a real engine behind it, in the process of the test. Clients whose memory it serves must be other processes: a thread
/// of this one that waited for a page would stop the garbage collector, and with it the engine.
/// </summary>
internal sealed class FrontDoorHost : IAsyncDisposable
{
    public const string Everybody = """
        {
          "policies": {
            "zero": { "source": { "kind": "zero" } },
            "around": { "source": { "kind": "zero" }, "faultAroundBytes": "64KiB" },
            "file": { "source": { "kind": "client" }, "removeMeans": "source" }
          },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"], "sourceDirectories": ["@"] } }
        }
        """;

    private readonly TempDirectory _directory = new();
    private readonly NativeFrontDoor _door;
    private readonly PolicyCatalog _policies;
    private readonly EventPump _pump;
    private bool _stopped;

    private FrontDoorHost(string configuration)
    {
        ManagerConfiguration loaded = Layers.LoadValid(configuration.Replace("@", _directory.Path, StringComparison.Ordinal));
        ListenOptions listen = loaded.Listen with { Socket = Path.Combine(_directory.Path, "door.sock") };
        SocketPath = listen.Socket;
        Engine = new FaultEngine(new EngineOptions { FaultLoops = 1 });
        _policies = new PolicyCatalog(loaded, TimeProvider.System);
        _door = new NativeFrontDoor(
            Engine,
            new TenantCatalog(loaded),
            _policies,
            new SourceCatalog(),
            Telemetry,
            new NoServiceTimes(),
            listen,
            NullLogger<NativeFrontDoor>.Instance,
            TimeProvider.System);
        _pump = new EventPump(Engine, [_door]);
    }

    public string SocketPath { get; }

    public string Folder => _directory.Path;

    public FaultEngine Engine { get; }

    public RecordingTelemetry Telemetry { get; } = new();

    /// <summary>Opens a front door.</summary>
    /// <param name="configuration">JSON; an @ stands for <see cref="Folder"/>.</param>
    public static async Task<FrontDoorHost> StartAsync(string configuration = Everybody)
    {
        var host = new FrontDoorHost(configuration);
        host.Engine.Start();
        await host._pump.StartAsync(CancellationToken.None);
        host._door.Start();
        return host;
    }

    /// <summary>Shuts the front door, and leaves the engine running.</summary>
    public async Task StopDoorAsync()
    {
        _stopped = true;
        await _door.StopAsync(CancellationToken.None);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_stopped)
            await StopDoorAsync();
        await Engine.StopAsync(TimeSpan.FromSeconds(5));
        await _pump.StopAsync(CancellationToken.None);
        _pump.Dispose();
        _door.Dispose();
        Engine.Dispose();
        _policies.Dispose();
        _directory.Dispose();
    }

    private sealed class NoServiceTimes : IServiceTimePercentiles
    {
        public ServiceTimes Read(string tenant) => default;
    }
}
