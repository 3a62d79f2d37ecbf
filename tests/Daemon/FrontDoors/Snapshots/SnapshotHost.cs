using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Tenancy;
using UffdManager.Daemon.Tests.Configuration;
using UffdManager.Daemon.Tests.Images;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>The front door of snapshots with a real engine behind it, in the process of the test; VMs are other processes.</summary>
internal sealed class SnapshotHost : IAsyncDisposable, IDrainGate
{
    public const string SocketName = "fc.sock";
    public const int ImageBytes = 4 * 1024 * 1024;

    private readonly TempDirectory _directory = new();
    private readonly PolicyCatalog _policies;
    private readonly SnapshotDoor _door;
    private bool _stopped;

    private SnapshotHost(string snapshots, string limits, IReadOnlyList<StoredDescriptor> inherited, IDescriptorStore store, int maxConnections, PeerIdentifier? identify, HandOverDecoders? decoders)
    {
        Image = new byte[ImageBytes];
        new Random(7).NextBytes(Image);
        _directory.WriteFile("mem.bin", Image);
        ManagerConfiguration configuration = Load(snapshots, limits);
        Engine = new FaultEngine(new EngineOptions { FaultLoops = 1, LivenessSweep = TimeSpan.FromMilliseconds(100) });
        _policies = new PolicyCatalog(configuration, Registry.Empty());
        Tenants = new TenantCatalog(configuration);
        _door = new SnapshotDoor(
            new SnapshotServices(
                Engine, Tenants, _policies, new SourceCatalog(Registry.Empty()), Telemetry, Log, TimeProvider.System, this, decoders ?? HandOverDecoders.BuiltIn, Sessions, store, maxConnections,
                identify ?? PeerProcess.TryIdentify),
            configuration.Snapshots,
            InheritedSnapshots.From(inherited));
    }

    /// <summary>Contents of the image.</summary>
    public byte[] Image { get; }

    public string Folder => _directory.Path;

    public string SocketPath => Path.Combine(Folder, SocketName);

    public FaultEngine Engine { get; }

    public TenantCatalog Tenants { get; }

    public SnapshotSessions Sessions { get; } = new();

    public RecordingTelemetry Telemetry { get; } = new();

    public RecordingLogger Log { get; } = new();

    /// <inheritdoc/>
    public bool IsDraining { get; set; }

    /// <summary>Sessions that serve.</summary>
    public IReadOnlyList<Session> Serving => [.. Engine.Sessions().Where(session => session.State == SessionState.Serving)];

    /// <summary>Opens the front door, and waits until its sockets are open.</summary>
    /// <param name="snapshots">JSON of the section; an @ stands for <see cref="Folder"/>. By default one, without any limit.</param>
    /// <param name="limits">JSON of the tenant's limits.</param>
    /// <param name="inherited">What a manager before it stored; taken over.</param>
    /// <param name="store">What it stores goes there; by default nobody keeps anything.</param>
    /// <param name="maxConnections">Of all sockets together.</param>
    /// <param name="identify">Tells who connects; by default the kernel does.</param>
    /// <param name="decoders">Protocols; by default those that the manager has.</param>
    public static async Task<SnapshotHost> StartAsync(string snapshots = """ "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "2s" } """, string limits = "", IReadOnlyList<StoredDescriptor>? inherited = null, IDescriptorStore? store = null, int maxConnections = 64, PeerIdentifier? identify = null, HandOverDecoders? decoders = null)
    {
        SnapshotHost host = new(snapshots, limits, inherited ?? [], store ?? NullDescriptorStore.Instance, maxConnections, identify, decoders);
        host.Engine.Start();
        await host._door.StartAsync();
        return host;
    }

    /// <summary>Serves other snapshots from now on.</summary>
    public Task ApplyAsync(string snapshots) => _door.Apply(Load(snapshots, "").Snapshots);

    /// <summary>So many VMs were killed, for these reasons, and each is told in the log by now.</summary>
    public void AssertKills(params string[] reasons)
    {
        // A process is gone before that is told.
        Eventually.True(() => Log.Text.Split("2103 VM killed").Length > reasons.Length, "the kills in the log");
        Assert.Equal(reasons, Telemetry.Kills.Select(kill => kill.ToString()));
    }

    /// <summary>Serves one more, at run time.</summary>
    public Task<(SnapshotView View, bool IsNew)> ServeAsync(string? name, string socket, string image = "mem.bin", string tenant = "vms", SnapshotMatchOptions? match = null, uint mode = 0b110_110_000, string? protocol = null) =>
        _door.ServeAsync(name, new SnapshotOptions
        {
            Image = image,
            Tenant = tenant,
            Policy = "",
            Socket = new SnapshotSocketOptions { Path = Path.Combine(Folder, socket), Protocol = protocol, Mode = mode, Timeout = TimeSpan.FromSeconds(2) },
            Match = match ?? new SnapshotMatchOptions { Uids = [], Cgroups = [] },
            MaxVms = 0,
        });

    public Task<SnapshotView> StopServingAsync(string name) => _door.StopServingAsync(name);

    public async Task<string[]> ListAsync() => [.. (await _door.ViewAsync()).Select(view => $"{view.Name} {view.HandedOver}/{view.Refused}{(view.Problem is null ? "" : " failed")}")];

    /// <summary>Waits until a line is in the list: a VM is served a moment before that is counted.</summary>
    public async Task AwaitListedAsync(string line)
    {
        using CancellationTokenSource patience = new(Eventually.DefaultDeadline);
        while (!(await ListAsync()).Contains(line, StringComparer.Ordinal))
            patience.Token.ThrowIfCancellationRequested();
    }

    public async Task StopDoorAsync()
    {
        _stopped = true;
        await _door.StopAsync(CancellationToken.None);
    }

    /// <summary>Leaves everything to the next manager.</summary>
    public async Task HandOverAsync()
    {
        _stopped = true;
        await _door.HandOverAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_stopped)
            await StopDoorAsync();
        await Engine.StopAsync(TimeSpan.FromSeconds(5));
        _door.Dispose();
        Engine.Dispose();
        _policies.Dispose();
        _directory.Dispose();
    }

    private ManagerConfiguration Load(string snapshots, string limits) => Layers.LoadValid($$"""
        {
          "policies": { "vm": { "source": { "kind": "client" } }, "ahead": { "source": { "kind": "client" }, "prefetch": { "mode": "full" } } },
          "tenants": {
            "vms": { "default": true, "defaultPolicy": "vm", "policies": ["*"], "sourceDirectories": ["@"], "limits": { {{limits}} } },
            "poor": { "match": { "uids": [4242] }, "defaultPolicy": "vm" }
          },
          "snapshots": { {{snapshots}} }
        }
        """.Replace("@", _directory.Path, StringComparison.Ordinal));

    /// <summary>Keeps the lines.</summary>
    internal sealed class RecordingLogger : ILogger
    {
        private readonly System.Collections.Concurrent.ConcurrentQueue<string> _lines = new();

        public string Text => string.Join('\n', _lines);

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            _lines.Enqueue($"{eventId.Id} {formatter(state, exception)}{exception}");
    }
}
