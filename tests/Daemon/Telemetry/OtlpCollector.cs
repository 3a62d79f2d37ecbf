using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>An OpenTelemetry collector that keeps what it is sent: OTLP over gRPC (HTTP/2 without TLS) or over HTTP/1.1.</summary>
internal sealed class OtlpCollector : IAsyncDisposable
{
    private readonly WebApplication _app;

    private OtlpCollector(bool grpc)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(
            o => o.Listen(IPAddress.Loopback, 0, l => l.Protocols = grpc ? HttpProtocols.Http2 : HttpProtocols.Http1));
        _app = builder.Build();
        _app.Run(context => ReceiveAsync(context, grpc));
    }

    /// <summary>Path and protobuf message of every export, in order of arrival.</summary>
    public ConcurrentQueue<(string Path, byte[] Message)> Received { get; } = new();

    public string Endpoint => _app.Urls.Single();

    public static async Task<OtlpCollector> StartAsync(bool grpc)
    {
        var collector = new OtlpCollector(grpc);
        await collector._app.StartAsync();
        return collector;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private async Task ReceiveAsync(HttpContext context, bool grpc)
    {
        using var body = new MemoryStream();
        await context.Request.Body.CopyToAsync(body);

        // A gRPC message has a byte for compression and four for its length in front.
        Received.Enqueue((context.Request.Path.Value!, body.ToArray()[(grpc ? 5 : 0)..]));
        if (!grpc)
        {
            context.Response.ContentType = "application/x-protobuf";
            return;
        }

        context.Response.ContentType = "application/grpc";
        await context.Response.Body.WriteAsync(new byte[5]);
        context.Response.AppendTrailer("grpc-status", "0");
    }
}
