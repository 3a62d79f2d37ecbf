using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Cli;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Supervision;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>
/// Opens the control socket when everything else has started, so that the first fault does not wait for an HTTP server to be loaded, and closes it
/// before anything else stops.
/// </summary>
internal sealed partial class ControlService(
    ControlOptions options,
    ControlLimits limits,
    DaemonSockets sockets,
    InheritedDescriptors inherited,
    IDescriptorStore store,
    IServiceProvider services,
    ILogger<ControlService> logger) : IHostedLifecycleService, IDisposable
{
    private const int Backlog = 64;

    private ControlServer? _server;
    private bool _ownsPath;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    /// <exception cref="StartException">The socket cannot be had.</exception>
    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        if (!options.Enabled)
            return;

        SafeSocketFd listening = inherited.TakeListener(InheritedDescriptors.Control, UnixSocketType.Stream) ?? Listen();
        string address = _ownsPath ? options.Socket : UnixSocket.TryGetLocalAddress(listening) ?? options.Socket;
        if (_ownsPath)
            store.TryStore(InheritedDescriptors.Control, [listening]);
        _server = ActivatorUtilities.CreateInstance<ControlServer>(services, listening);
        await _server.StartAsync(cancellationToken);
        sockets.Control = (address, !_ownsPath);
        LogListening(address);
    }

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        if (_server is null)
            return;

        // First the path: a client that connects from here on finds nobody, and not somebody who never answers.
        if (_ownsPath)
        {
            File.Delete(options.Socket);
            store.Remove(InheritedDescriptors.Control);
        }

        limits.Stop();
        await _server.StopAsync(cancellationToken);
        sockets.Control = null;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _server?.Dispose();

    private SafeSocketFd Listen()
    {
        SocketDirectory.Make(options.Socket, "control.socket");
        try
        {
            SafeSocketFd socket = UnixSocket.Listen(options.Socket, UnixSocketType.Stream, Backlog, options.Mode, options.GroupId);
            _ownsPath = true;
            return socket;
        }
        catch (SyscallException e)
        {
            throw new StartException(
                e.Errno is Errno.EACCES or Errno.EPERM ? ExitCode.Permission : ExitCode.CannotCreate,
                $"control: cannot listen on {options.Socket}: {e.Message}; set control.socket, or control.enabled to false", e);
        }
    }

    [LoggerMessage(2200, LogLevel.Information, "Control socket {Socket} listens")]
    private partial void LogListening(string socket);
}
