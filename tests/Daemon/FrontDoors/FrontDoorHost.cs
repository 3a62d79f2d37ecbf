using Microsoft.Extensions.Logging.Abstractions;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Engine;
using UffdManager.Linux;
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
    private readonly CancellationTokenSource _stopping = new();
    private Task _pumping = Task.CompletedTask;
    private bool _stopped;

    private FrontDoorHost(string configuration, bool handSocketIn)
    {
        ManagerConfiguration loaded = Layers.LoadValid(configuration.Replace("@", _directory.Path, StringComparison.Ordinal));
        ListenOptions listen = loaded.Listen with { Socket = Path.Combine(_directory.Path, "door.sock") };
        SocketPath = listen.Socket;
        Engine = new FaultEngine(new EngineOptions { FaultLoops = 1 });
        _policies = new PolicyCatalog(loaded, Registry.Empty());
        _door = new NativeFrontDoor(
            Engine,
            new TenantCatalog(loaded),
            _policies,
            new SourceCatalog(Registry.Empty()),
            Telemetry,
            new NoServiceTimes(),
            listen,
            NullLogger<NativeFrontDoor>.Instance,
            TimeProvider.System,
            handSocketIn ? UnixSocket.Listen(listen.Socket, UnixSocketType.SeqPacket, 16, 0b110_110_110) : null);
    }

    public string SocketPath { get; }

    public string Folder => _directory.Path;

    public FaultEngine Engine { get; }

    public RecordingTelemetry Telemetry { get; } = new();

    /// <summary>Opens a front door.</summary>
    /// <param name="configuration">JSON; an @ stands for <see cref="Folder"/>.</param>
    /// <param name="handSocketIn">Whether the socket listens before the front door gets it.</param>
    public static async Task<FrontDoorHost> StartAsync(string configuration = Everybody, bool handSocketIn = false)
    {
        var host = new FrontDoorHost(configuration, handSocketIn);
        host.Engine.Start();
        host._pumping = host.PumpAsync();
        await host._door.StartAsync();
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
        await _stopping.CancelAsync();
        await _pumping;
        _stopping.Dispose();
        _door.Dispose();
        Engine.Dispose();
        _policies.Dispose();
        _directory.Dispose();
    }

    private async Task PumpAsync()
    {
        try
        {
            await foreach (EngineEvent engineEvent in Engine.Events.ReadAllAsync(_stopping.Token))
                _door.OnEvent(engineEvent);
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }
    }

    private sealed class NoServiceTimes : IServiceTimePercentiles
    {
        public ServiceTimes Read(string tenant) => default;
    }
}
