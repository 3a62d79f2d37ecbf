using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Tenancy;

namespace UffdManager.Daemon.Control;

/// <summary>Snapshots for microVMs: which are served, and serving more of them.</summary>
internal sealed partial class SnapshotRoutes(
    SnapshotDoor door,
    SnapshotSessions sessions,
    TenantCatalog tenants,
    IPolicyCatalog policies,
    ManagerConfiguration configuration,
    ILogger<SnapshotRoutes> logger) : IControlRoutes
{
    // As for a fault loop. To open a file, or a socket in a directory of somebody's file system, may take for ever.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, "/v1/snapshots", AccessRight.Read, ListAsync),
        new(HttpMethods.Post, "/v1/snapshots", AccessRight.Admin, ServeAsync),
        new(HttpMethods.Get, "/v1/snapshots/{name}", AccessRight.Read, ShowAsync),
        new(HttpMethods.Delete, "/v1/snapshots/{name}", AccessRight.Admin, StopAsync),
    ];

    private async Task ListAsync(ControlRequest request)
    {
        request.RefuseOthers();
        IReadOnlyList<SnapshotView> views = await AskAsync(door.ViewAsync(), request);
        await ControlResponse.JsonAsync(request.Http, new SnapshotListDto { Snapshots = [.. views.Select(Document)] }, ControlResponse.Json.SnapshotListDto);
    }

    private async Task ShowAsync(ControlRequest request)
    {
        request.RefuseOthers();
        string name = request.Value(0);
        SnapshotView view = (await AskAsync(door.ViewAsync(), request)).FirstOrDefault(view => view.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
            ?? throw new ProblemException(ProblemKind.NotFound, $"there is no snapshot \"{name}\"", "GET /v1/snapshots lists them");
        await ControlResponse.JsonAsync(request.Http, Document(view), ControlResponse.Json.SnapshotDto);
    }

    private async Task ServeAsync(ControlRequest request)
    {
        request.RefuseOthers();
        SnapshotDefinitionDto asked = await request.BodyAsync(ControlResponse.Json.SnapshotDefinitionDto);
        SnapshotOptions options = SnapshotRequests.Read(asked, configuration.Listen.Socket, configuration.Control.Enabled ? configuration.Control.Socket : null);
        if (tenants.Find(options.Tenant) is { } tenant && policies.Find(tenant, options.Policy) is { IsGranted: false } refused)
            throw new ProblemException(ProblemKind.BadRequest, refused.Refusal, "GET /v1/tenants tells which it may use");
        (SnapshotView view, bool isNew) = await AskAsync(door.ServeAsync(asked.Name, options), request);
        if (isNew)
            LogServed(view.Name, options.Socket.Path, request.Peer);
        await ControlResponse.JsonAsync(request.Http, Document(view), ControlResponse.Json.SnapshotDto, isNew ? StatusCodes.Status201Created : StatusCodes.Status200OK);
    }

    private async Task StopAsync(ControlRequest request)
    {
        request.RefuseOthers();
        SnapshotView view = await AskAsync(door.StopServingAsync(request.Value(0)), request);
        LogStopped(view.Name, view.Options.Socket.Path, request.Peer);
        await ControlResponse.JsonAsync(request.Http, Document(view), ControlResponse.Json.SnapshotDto);
    }

    private static async Task<T> AskAsync<T>(Task<T> answer, ControlRequest request)
    {
        try
        {
            return await answer.WaitAsync(s_patience, request.Aborted);
        }
        catch (TimeoutException)
        {
            throw new ProblemException(ProblemKind.Unavailable, "the front door does not answer: it starts or stops, or a file system does not answer", "ask again, and look at what became of it");
        }
        catch (SnapshotException e)
        {
            ProblemKind kind = e.Kind switch
            {
                SnapshotException.Obstacle.Conflict => ProblemKind.Conflict,
                SnapshotException.Obstacle.NotFound => ProblemKind.NotFound,
                SnapshotException.Obstacle.Kernel => ProblemKind.Kernel,
                _ => ProblemKind.BadRequest,
            };
            throw new ProblemException(kind, e.Message, e.Remedy);
        }
    }

    private SnapshotDto Document(SnapshotView view) => new()
    {
        Name = view.Name,
        Origin = view.IsConfigured ? "configuration" : "runtime",
        State = view.Problem is null ? "listening" : "failed",
        Problem = view.Problem,
        Image = view.Options.Image,
        Tenant = view.Options.Tenant,
        Policy = view.Options.Policy.Length > 0 ? view.Options.Policy : null,
        Socket = view.Options.Socket.Path,
        Protocol = view.Options.Socket.Protocol,
        Uid = view.Options.Socket.Uid,
        Gid = view.Options.Socket.Gid,
        Mode = SettingText.FormatMode(view.Options.Socket.Mode),
        TimeoutSeconds = view.Options.Socket.Timeout.TotalSeconds,
        MaxVms = view.Options.MaxVms,
        Match = new SnapshotMatchDto
        {
            Uids = [.. view.Options.Match.Uids.Select(uid => (long)uid)],
            Cgroups = view.Options.Match.Cgroups,
            Pids = [.. view.Options.Match.Processes.Select(process => (long)process.Pid)],
        },
        Sessions = [.. sessions.Of(view.Name).Select(session => session.Id).Order()],
        Attaching = view.Attaching,
        HandedOver = view.HandedOver,
        Refused = view.Refused,
    };

    [LoggerMessage(2260, LogLevel.Information, "Snapshot {Snapshot} is served at {Socket} for {Peer}")]
    private partial void LogServed(string snapshot, string socket, ControlPeer peer);

    [LoggerMessage(2261, LogLevel.Information, "Snapshot {Snapshot} was stopped at {Socket} for {Peer}")]
    private partial void LogStopped(string snapshot, string socket, ControlPeer peer);
}
