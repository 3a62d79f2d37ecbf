using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>
/// Kestrel on the control socket, without a web host around it: a second host in the process would install signal handlers of its own and stop before the daemon does.
/// </summary>
internal sealed class ControlServer : IDisposable
{
    // Kestrel wants an endpoint to hang the connection options on; the socket itself comes from us, whatever this number says.
    private const ulong OurSocket = 0;

    private readonly ControlRouter _router;
    private readonly KestrelServer _server;

    /// <summary>Takes the listening socket over.</summary>
    public ControlServer(SafeSocketFd listening, ControlRouter router, ConnectionGate gate, ILoggerFactory loggers)
    {
        _router = router;
        Socket socket = UnixSocket.GiveAway(listening);
        SocketTransportOptions transport = new() { CreateBoundListenSocket = _ => socket };
        _server = new KestrelServer(Options.Create(ServerOptions(gate)), new SocketTransportFactory(Options.Create(transport), loggers), loggers);
    }

    public Task StartAsync(CancellationToken cancellationToken) => _server.StartAsync(_router, cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => _server.StopAsync(cancellationToken);

    public void Dispose() => _server.Dispose();

    private static KestrelServerOptions ServerOptions(ConnectionGate gate)
    {
        var server = new KestrelServerOptions { AddServerHeader = false };
        server.Limits.MaxConcurrentConnections = ConnectionGate.MaximumConnections;
        server.Limits.MaxConcurrentUpgradedConnections = 0;
        server.Limits.MaxRequestBodySize = 64 * 1024;
        server.Limits.MaxRequestLineSize = 8 * 1024;
        server.Limits.MaxRequestHeadersTotalSize = 16 * 1024;
        server.Limits.MaxRequestHeaderCount = 64;
        server.Limits.MaxRequestBufferSize = 64 * 1024;
        server.Limits.MaxResponseBufferSize = 64 * 1024;
        server.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        server.Limits.KeepAliveTimeout = TimeSpan.FromSeconds(60);
        server.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 240, gracePeriod: TimeSpan.FromSeconds(5));
        server.Limits.MinResponseDataRate = new MinDataRate(bytesPerSecond: 240, gracePeriod: TimeSpan.FromSeconds(5));
        server.ListenHandle(OurSocket, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.Use(next => connection => gate.AdmitAsync(connection, next));
        });
        return server;
    }
}
