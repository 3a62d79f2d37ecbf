using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Sources;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// The front door of the native protocol (protocol/PROTOCOL.md): one thread, one epoll instance, one listening socket. It is to be told the engine's
/// events, so that the connection of a session that has ended hears of it.
/// </summary>
public sealed class NativeFrontDoor : IFrontDoor, IEngineEventSink, IDisposable
{
    internal const string DoorName = "native";

    private readonly ListenOptions _options;
    private bool _disposed;
    private readonly DoorLoop _loop;
    private readonly IDescriptorStore _store;
    private readonly string _path;
    private SafeSocketFd? _given;
    private bool _started;
    private bool _ownsPath;

    /// <summary>Makes a front door; <see cref="StartAsync"/> opens it.</summary>
    /// <param name="engine">Gets the sessions. Not owned.</param>
    /// <param name="tenants">Tells who a peer is.</param>
    /// <param name="policies">Tells what a tenant may ask for.</param>
    /// <param name="sources">Opens what clients name.</param>
    /// <param name="telemetry">Counts.</param>
    /// <param name="serviceTimes">Percentiles for STATUS.</param>
    /// <param name="options">Where to listen.</param>
    /// <param name="logger">Hears of misbehaving peers, within bounds.</param>
    /// <param name="time">Measures deadlines.</param>
    /// <param name="listening">A SOCK_SEQPACKET socket that listens already (socket activation), taken over; null to listen at the path
    /// of <paramref name="options"/>.</param>
    /// <param name="drain">Tells when new sessions are to be refused; null for never.</param>
    /// <param name="store">Keeps a socket that is bound here, so that clients that come while one manager follows another wait in its backlog; null for nobody.</param>
    /// <param name="sessions">The sessions that are there already, of an earlier manager; the front door's own from <see cref="StartAsync"/> on.</param>
    /// <param name="images">Their objects.</param>
    internal NativeFrontDoor(
        FaultEngine engine,
        ITenantResolver tenants,
        IPolicyCatalog policies,
        ISourceCatalog sources,
        IFrontDoorTelemetry telemetry,
        IServiceTimePercentiles serviceTimes,
        ListenOptions options,
        ILogger<NativeFrontDoor> logger,
        TimeProvider time,
        SafeSocketFd? listening = null,
        IDrainGate? drain = null,
        IDescriptorStore? store = null,
        SessionDirectory? sessions = null,
        ImageCatalog? images = null)
    {
        _store = store ?? NullDescriptorStore.Instance;
        _path = listening is null ? options.Socket : UnixSocket.TryGetLocalAddress(listening) ?? options.Socket;
        _options = options;
        _given = listening;
        IsInherited = listening is not null;
        _loop = new DoorLoop(new DoorServices(engine, tenants, policies, sources, telemetry, serviceTimes, options, logger, time, drain, sessions ?? new SessionDirectory(), images ?? new ImageCatalog()));
    }

    /// <inheritdoc/>
    public string Name => DoorName;

    /// <summary>Where it listens: the path of a socket that was handed in, else the configured one.</summary>
    public string Address => _path;

    /// <summary>Whether the socket was handed in.</summary>
    public bool IsInherited { get; }

    /// <inheritdoc/>
    public Task StartAsync()
    {
        ObjectDisposedException.ThrowIf(_started, this);
        SafeSocketFd listener = _given ?? UnixSocket.Listen(_options.Socket, UnixSocketType.SeqPacket, _options.Backlog, _options.Mode, _options.GroupId);
        _ownsPath = _given is null;
        _given = null;

        // A socket that was handed in may be one that blocks: accept must never wait.
        FileIo.SetNonBlocking(listener);
        if (_ownsPath)
            _store.TryStore(DoorName, [listener]);
        _loop.Start(listener);
        _started = true;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (!_started)
            return;

        // First the path: a client that connects from here on finds nobody, and not somebody who never answers.
        if (_ownsPath)
        {
            File.Delete(_options.Socket);
            _store.Remove(DoorName);
        }

        await _loop.StopAsync().WaitAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public Task HandOverAsync() => _started ? _loop.HandOverAsync() : Task.CompletedTask;

    /// <inheritdoc/>
    public Task PingAsync() => _started ? _loop.PingAsync() : Task.CompletedTask;

    /// <inheritdoc/>
    public void OnEvent(EngineEvent engineEvent)
    {
        if (engineEvent is SessionEnded ended)
            _loop.Post(() => _loop.EndSession(ended.Session, ended.Reason));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // The container disposes once for every service that this object stands for.
        if (_disposed)
            return;

        _disposed = true;
        _given?.Dispose();
        _loop.Dispose();
    }
}
