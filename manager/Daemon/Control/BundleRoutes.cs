using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace UffdManager.Daemon.Control;

/// <summary>The support archive.</summary>
internal sealed partial class BundleRoutes(BundleWriter writer, ControlLimits limits, TimeProvider time, ILogger<BundleRoutes> logger) : IControlRoutes
{
    public IEnumerable<ControlRoute> Routes => [new(HttpMethods.Get, "/v1/bundle", AccessRight.Admin, BundleAsync)];

    private async Task BundleAsync(ControlRequest request)
    {
        request.RefuseOthers();
        using IDisposable place = limits.Bundles.Enter();
        DateTimeOffset at = time.GetUtcNow();
        request.Http.Response.ContentType = "application/gzip";
        request.Http.Response.Headers.ContentDisposition = $"attachment; filename=\"{BundleWriter.NameAt(at)}.tar.gz\"";
        if (HttpMethods.IsHead(request.Http.Request.Method))
            return;
        LogBundle(request.Peer);
        await writer.WriteAsync(request.Http.Response.Body, at, request.Peer.ToString(), request.Aborted);
    }

    [LoggerMessage(2250, LogLevel.Information, "A support archive is made for {Peer}")]
    private partial void LogBundle(ControlPeer peer);
}
