using System.Globalization;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Control;

/// <summary>Finds the handler of a request, checks the right to it, and turns every failure into a problem document.</summary>
internal sealed partial class ControlRouter : IHttpApplication<HttpContext>
{
    /// <summary>Version of the API, as it stands in the paths and in a header of every answer.</summary>
    public const int ApiVersion = 1;

    public const string ApiHeader = "Uffd-Manager-Api";

    private const string Catalog = "GET /v1 lists what there is";

    private readonly AccessRules _rules;
    private readonly ILogger<ControlRouter> _logger;
    private readonly LogThrottle _throttle;
    private readonly ControlRoute[] _routes;

    public ControlRouter(IEnumerable<IControlRoutes> groups, AccessRules rules, ILogger<ControlRouter> logger, TimeProvider time)
    {
        _rules = rules;
        _logger = logger;
        _throttle = new LogThrottle(time);
        _routes = [new ControlRoute(HttpMethods.Get, "/v1", AccessRight.Read, IndexAsync), .. groups.SelectMany(group => group.Routes)];
    }

    /// <summary>Method and template of every route.</summary>
    public IReadOnlyList<string> Resources => [.. _routes.Select(route => $"{route.Method} {route.Template}")];

    /// <inheritdoc/>
    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    /// <inheritdoc/>
    public void DisposeContext(HttpContext context, Exception? exception)
    {
        // Kestrel has logged the exception and cut the connection; a context without a container owns nothing.
    }

    /// <inheritdoc/>
    public async Task ProcessRequestAsync(HttpContext context)
    {
        context.Response.Headers[ApiHeader] = ApiVersion.ToString(CultureInfo.InvariantCulture);
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        try
        {
            await RouteAsync(context);
        }
        catch (ProblemException problem) when (!context.Response.HasStarted)
        {
            await ControlResponse.ProblemAsync(context, problem);
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            ProblemKind kind = e.StatusCode == StatusCodes.Status413PayloadTooLarge ? ProblemKind.TooLarge : ProblemKind.BadRequest;
            await ControlResponse.ProblemAsync(context, new ProblemException(kind, e.Message));
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // Whoever asked has hung up.
            context.Abort();
        }
        catch (IOException) when (context.RequestAborted.IsCancellationRequested)
        {
            context.Abort();
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            await ControlResponse.ProblemAsync(context, Explain(e, context));
        }
        catch (Exception e)
        {
            // Half an answer is worse than none: the client sees that the connection breaks off.
            LogFailed(e, context.Request.Method, context.Request.Path);
            context.Abort();
        }
    }

    /// <summary>The sessions leave: what is not found here may live on in the successor.</summary>
    internal static ProblemException Stopping() => new(ProblemKind.Unavailable, "the daemon stops", "ask its successor");

    private async Task RouteAsync(HttpContext context)
    {
        ControlPeer peer = context.Features.Get<ControlPeer>() ?? throw new InvalidOperationException("the connection has no peer");
        AccessRight right = _rules.Of(peer);
        if (right == AccessRight.None)
            throw Refuse(context, peer, AccessRight.Read);

        // Kestrel sends the head of the same answer for HEAD and drops the body.
        string method = HttpMethods.IsHead(context.Request.Method) ? HttpMethods.Get : context.Request.Method;
        string[] path = context.Request.Path.Value!.Split('/');
        List<string> allowed = [];
        foreach (ControlRoute route in _routes)
        {
            if (route.Match(path) is not { } values)
                continue;
            if (route.Method != method)
            {
                allowed.Add(route.Method);
                continue;
            }

            if (right < route.Right)
                throw Refuse(context, peer, route.Right);
            await route.HandleAsync(new ControlRequest(context, peer, right, values));
            return;
        }

        throw allowed.Count == 0
            ? new ProblemException(ProblemKind.NotFound, $"there is no resource {context.Request.Path}", Catalog)
            : new ProblemException(ProblemKind.MethodNotAllowed, $"{context.Request.Path} has no {context.Request.Method}", Catalog) { Allow = Allow(allowed) };
    }

    private static string Allow(List<string> methods) =>
        string.Join(", ", methods.Contains(HttpMethods.Get) ? methods.Prepend(HttpMethods.Head) : methods);

    private ProblemException Refuse(HttpContext context, ControlPeer peer, AccessRight wanted)
    {
        string what = $"{context.Request.Method} {context.Request.Path}";
        string right = wanted == AccessRight.Admin ? "admin" : "read";
        if (_throttle.TryEnter(typeof(AccessRight), "", out long suppressed))
            LogRefused(peer, what, right, suppressed);

        // Strangers have few places: this one is given back at once.
        context.Response.Headers.Connection = "close";
        return new ProblemException(
            ProblemKind.Forbidden,
            $"uid {peer.Credentials.Uid} may not {what}: it takes the right {right}",
            $"run it as root, or put the uid into control.{right}Uids or one of its groups into control.{right}Gids of the configuration and reload");
    }

    private ProblemException Explain(Exception failure, HttpContext context)
    {
        switch (failure)
        {
            case TimeoutException:
                return new ProblemException(ProblemKind.Unavailable, "a fault loop does not answer", "GET /v1/status and the log say more; a restart helps if it stays");
            case ObjectDisposedException or OperationCanceledException:
                return Stopping();
            default:
                LogFailed(failure, context.Request.Method, context.Request.Path);
                return new ProblemException(ProblemKind.Internal, $"{failure.GetType().Name}: {failure.Message}", "please report it, with the log");
        }
    }

    private Task IndexAsync(ControlRequest request)
    {
        request.RefuseOthers();
        IndexDto index = new()
        {
            Api = ApiVersion,
            Version = ProcessMetrics.Version,
            Access = request.Right == AccessRight.Admin ? "admin" : "read",
            Resources = Resources,
        };
        return ControlResponse.JsonAsync(request.Http, index, ControlResponse.Json.IndexDto);
    }

    [LoggerMessage(2211, LogLevel.Warning, "Control socket: {Peer} was refused {What}, it takes the right {Right}. {Suppressed} such lines were left out")]
    private partial void LogRefused(ControlPeer peer, string what, string right, long suppressed);

    [LoggerMessage(2212, LogLevel.Error, "Control socket: {Method} {Path} failed")]
    private partial void LogFailed(Exception exception, string method, PathString path);
}
