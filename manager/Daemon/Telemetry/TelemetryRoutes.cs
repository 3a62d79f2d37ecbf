using System.Text;
using Microsoft.AspNetCore.Http;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry.Exposition;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// What the endpoint answers: <c>/metrics</c>, <c>/healthz</c> (the process does its work), <c>/readyz</c> (clients are accepted), and what
/// other parts add. Everything else is 404; only GET and HEAD are allowed, so nothing here changes the daemon.
/// </summary>
internal sealed class TelemetryRoutes(MetricsScraper scraper, IReadiness readiness, IProcessHealth health, IEnumerable<IEndpointPages> pages)
{
    public async Task HandleAsync(HttpContext context)
    {
        try
        {
            await RouteAsync(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Whoever asked has hung up; a scraper does so when its timeout passes.
            context.Abort();
        }
    }

    private Task RouteAsync(HttpContext context)
    {
        string path = context.Request.Path.Value ?? "";
        Func<HttpContext, Task>? route = path switch
        {
            "/metrics" => MetricsAsync,
            "/healthz" => HealthAsync,
            "/readyz" => ReadyAsync,
            _ => pages.Select(more => more.Find(path)).FirstOrDefault(found => found is not null),
        };

        if (route is null)
        {
            return TextAsync(context, StatusCodes.Status404NotFound, "not found: there are /metrics, /healthz and /readyz, and the dashboard at / unless it is turned off\n");
        }

        // Kestrel sends the head of the same answer for HEAD and drops the body.
        if (HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method))
        {
            return route(context);
        }

        context.Response.Headers.Allow = "GET, HEAD";
        return TextAsync(context, StatusCodes.Status405MethodNotAllowed, "method not allowed\n");
    }

    private async Task MetricsAsync(HttpContext context)
    {
        var format = ContentNegotiation.Choose([.. context.Request.Headers.Accept.OfType<string>()]);
        byte[] body = await scraper.ScrapeAsync(format, context.RequestAborted);
        context.Response.Headers.Vary = "Accept";
        await SendAsync(context, StatusCodes.Status200OK, ContentNegotiation.ContentType(format), body);
    }

    private async Task HealthAsync(HttpContext context) =>
        await VerdictAsync(context, "healthy", await health.ComplaintsAsync(context.RequestAborted));

    /// <summary>The loops are asked only while they ought to turn: before the start and after the stop of the engine they rightly do not.</summary>
    private async Task ReadyAsync(HttpContext context) => await VerdictAsync(
        context, "ready", readiness.IsReady ? await health.ComplaintsAsync(context.RequestAborted) : [readiness.Reason]);

    private static Task VerdictAsync(HttpContext context, string good, IReadOnlyList<string> complaints) => complaints.Count == 0
        ? TextAsync(context, StatusCodes.Status200OK, good + "\n")
        : TextAsync(context, StatusCodes.Status503ServiceUnavailable, string.Join('\n', complaints) + "\n");

    private static Task TextAsync(HttpContext context, int status, string text) =>
        SendAsync(context, status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text));

    private static Task SendAsync(HttpContext context, int status, string contentType, byte[] body)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        context.Response.ContentLength = body.Length;
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        return context.Response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }
}
