using System.Globalization;
using System.Text;
using Microsoft.AspNetCore.Http;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Dashboard;

/// <summary>
/// The page at <c>/</c> and its data: the stream <c>/live</c>, and the regions of a session on demand. All of it is GET and changes nothing.
/// </summary>
internal sealed class DashboardRoutes(DashboardAssets assets, LiveFeed feed, ILiveSource source, MemoryCounter memory, TimeProvider time) : IEndpointPages
{
    private const string SessionPrefix = "/live/sessions/";

    // Nothing but our own files; and text that a client chose can become neither script nor markup.
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        + "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

    /// <inheritdoc/>
    public Func<HttpContext, Task>? Find(string path)
    {
        if (assets.Find(path) is { } asset)
            return context => AssetAsync(context, asset);
        if (path == "/live")
            return context => GuardedAsync(context, StreamAsync);
        if (path.StartsWith(SessionPrefix, StringComparison.Ordinal)
            && long.TryParse(path.AsSpan(SessionPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long session))
        {
            return context => GuardedAsync(context, guarded => MemoryAsync(guarded, session));
        }

        return null;
    }

    private static async Task AssetAsync(HttpContext context, DashboardAsset asset)
    {
        HttpResponse response = Protect(context);
        response.Headers.ContentSecurityPolicy = ContentSecurityPolicy;
        response.Headers["Cross-Origin-Opener-Policy"] = "same-origin";

        // Asked about every time, and sent only when it is another one.
        response.Headers.CacheControl = "no-cache";
        response.Headers.ETag = asset.Tag;
        if (context.Request.Headers.IfNoneMatch.Any(tags => tags is not null && tags.Contains(asset.Tag, StringComparison.Ordinal)))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }

        response.ContentType = asset.ContentType;
        response.ContentLength = asset.Bytes.Length;
        await response.Body.WriteAsync(asset.Bytes, context.RequestAborted);
    }

    private static Task GuardedAsync(HttpContext context, Func<HttpContext, Task> answer)
    {
        Protect(context).Headers.CacheControl = "no-store";
        return RequestOrigin.Refusal(context.Request) is { } refusal
            ? TextAsync(context, StatusCodes.Status421MisdirectedRequest, refusal)
            : answer(context);
    }

    private async Task StreamAsync(HttpContext context)
    {
        context.Response.ContentType = "text/event-stream";
        if (HttpMethods.IsHead(context.Request.Method))
            return;

        using LiveSubscription? subscription = feed.TryJoin();
        if (subscription is null)
        {
            context.Response.Headers.RetryAfter = "10";
            await TextAsync(context, StatusCodes.Status503ServiceUnavailable, $"{DashboardLimits.Streams} pages are open, or the daemon stops\n");
            return;
        }

        await SendAsync(context, LiveEvent.Hello(source.Hello));
        bool hasHistory = false;
        await foreach (LiveUpdate update in subscription.Updates.ReadAllAsync(context.RequestAborted))
        {
            if (!hasHistory && update.History is not null)
                await SendAsync(context, update.History.Value);

            // What is no frame stands for some that are missing, and with them a part of the history.
            hasHistory = update.History is not null;
            await SendAsync(context, update.Event);
        }
    }

    // The server buffers 64 KiB and then waits for the reader, who may have stopped reading without hanging up.
    private async Task SendAsync(HttpContext context, ReadOnlyMemory<byte> bytes)
    {
        Task sent = context.Response.Body.WriteAsync(bytes, context.RequestAborted).AsTask();
        try
        {
            await sent.WaitAsync(DashboardLimits.SlowReader, time, context.RequestAborted);
        }
        catch (TimeoutException e)
        {
            // Ends the write as well.
            context.Abort();
            throw new OperationCanceledException("the reader is too slow", e, context.RequestAborted);
        }
    }

    private async Task MemoryAsync(HttpContext context, long session)
    {
        string first = context.Request.Query["page"].ToString();
        if (!int.TryParse(first.Length == 0 ? "0" : first, NumberStyles.None, CultureInfo.InvariantCulture, out int page) || page >= DashboardLimits.RegionPages)
        {
            await TextAsync(context, StatusCodes.Status400BadRequest, $"page: allowed is a number from 0 to {DashboardLimits.RegionPages - 1}\n");
            return;
        }

        MemoryAnswer answer = await memory.AskAsync(session, page, context.RequestAborted);
        if (answer.Json is not { } json)
        {
            if (answer.Status == StatusCodes.Status503ServiceUnavailable)
                context.Response.Headers.RetryAfter = "2";
            await TextAsync(context, answer.Status, answer.Reason + "\n");
            return;
        }

        context.Response.ContentType = "application/json; charset=utf-8";
        context.Response.ContentLength = json.Length;
        await context.Response.Body.WriteAsync(json, context.RequestAborted);
    }

    private static HttpResponse Protect(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.XContentTypeOptions = "nosniff";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers["Referrer-Policy"] = "no-referrer";
        return context.Response;
    }

    private static Task TextAsync(HttpContext context, int status, string text)
    {
        byte[] body = Encoding.UTF8.GetBytes(text);
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }
}
