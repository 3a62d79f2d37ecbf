using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// The HTTP server for metrics and health. It is Kestrel without a web host around it: a second host in the process would install
/// signal handlers of its own and stop before the daemon does.
/// </summary>
internal sealed class TelemetryEndpoint : IHostedService, IHttpApplication<HttpContext>, IDisposable
{
    /// <summary>
    /// Enough for a few scrapers and probes, and for as many open dashboards as are fed, each with a second connection for what it asks in between; a client beyond
    /// that is disconnected.
    /// </summary>
    private const int MaxConnections = 256;

    private readonly MetricsOptions _options;
    private readonly MetricsAddress _address;
    private readonly TelemetryRoutes _routes;
    private readonly KestrelServer? _server;

    public TelemetryEndpoint(MetricsOptions options, MetricsAddress address, TelemetryRoutes routes, ILoggerFactory loggers)
    {
        _options = options;
        _address = address;
        _routes = routes;
        if (options.Enabled)
        {
            _server = new KestrelServer(
                Options.Create(ServerOptions(options)),
                new SocketTransportFactory(Options.Create(new SocketTransportOptions()), loggers),
                loggers);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="MetricsBindException">The address is taken, not of this host, or not allowed.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (_server is null)
        {
            return;
        }

        try
        {
            await _server.StartAsync(this, cancellationToken);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            // Kestrel wraps "in use" alone, and then names the address in its message; the root says why in every case.
            throw new MetricsBindException(
                $"metrics: cannot listen on {_options.Address} port {_options.Port}: {e.GetBaseException().Message}", e);
        }

        _address.Bound = new Uri(_server.Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.Single() + "/");
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_server is not null)
        {
            await _server.StopAsync(cancellationToken);
            _address.Bound = null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _server?.Dispose();

    /// <inheritdoc/>
    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    /// <inheritdoc/>
    public Task ProcessRequestAsync(HttpContext context) => _routes.HandleAsync(context);

    /// <inheritdoc/>
    public void DisposeContext(HttpContext context, Exception? exception)
    {
        // Kestrel has logged the exception and answered 500; a context without a container owns nothing.
    }

    private static KestrelServerOptions ServerOptions(MetricsOptions options)
    {
        var server = new KestrelServerOptions { AddServerHeader = false };
        server.Limits.MaxConcurrentConnections = MaxConnections;
        server.Limits.MaxConcurrentUpgradedConnections = 0;
        server.Limits.MaxRequestBodySize = 0;
        server.Limits.MaxRequestLineSize = 4096;
        server.Limits.MaxRequestBufferSize = 32 * 1024;
        server.Limits.MaxRequestHeaderCount = 64;
        server.Limits.MaxRequestHeadersTotalSize = 16 * 1024;
        server.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        server.Listen(IPAddress.Parse(options.Address), options.Port, listen => listen.Protocols = HttpProtocols.Http1);
        return server;
    }
}
