using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;
using UffdManager.Engine;
using UffdManager.Engine.Inspection;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.Control;

/// <summary>Sessions, their regions and the pages in them; and the end of a session by force.</summary>
internal sealed partial class SessionRoutes(Inspector inspector, ControlLimits limits, ILogger<SessionRoutes> logger) : IControlRoutes
{
    private const int MaximumSessions = 1000;
    private const int MaximumRegions = 10_000;

    private static ControlJson Json => ControlResponse.Json;

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, "/v1/sessions", AccessRight.Read, SessionsAsync),
        new(HttpMethods.Get, "/v1/sessions/{id}", AccessRight.Read, SessionAsync),
        new(HttpMethods.Delete, "/v1/sessions/{id}", AccessRight.Admin, KillAsync),
        new(HttpMethods.Get, "/v1/sessions/{id}/regions", AccessRight.Read, RegionsOfSessionAsync),
        new(HttpMethods.Get, "/v1/sessions/{id}/regions/{start}/map", AccessRight.Read, MapAsync),
        new(HttpMethods.Get, "/v1/regions", AccessRight.Read, RegionsAsync),
    ];

    private async Task SessionsAsync(ControlRequest request)
    {
        SessionFilter filter = new(
            request.Text("tenant"),
            request.Choice("state", Words.States),
            request.Integer("pid", -1, 0, int.MaxValue) is >= 0 and var pid ? (int)pid : null);
        int limit = (int)request.Integer("limit", 100, 1, MaximumSessions);
        long after = request.Integer("after", 0, 0, long.MaxValue);
        request.RefuseOthers();
        await ControlResponse.JsonAsync(request.Http, await inspector.SessionsAsync(filter, after, limit, request.Aborted), Json.SessionListDto);
    }

    private async Task SessionAsync(ControlRequest request)
    {
        request.RefuseOthers();
        await ControlResponse.JsonAsync(request.Http, await inspector.SessionAsync(Find(request), request.Aborted), Json.SessionDto);
    }

    private async Task KillAsync(ControlRequest request)
    {
        request.RefuseOthers();
        Session session = Find(request);
        EngineResult result = await FaultEngine.KillAsync(session).WaitAsync(TimeSpan.FromSeconds(5), request.Aborted);
        if (result.Error is { } error)
        {
            LogNotKilled(session.Id, session.Pid, request.Peer, error.Text);
            throw error.Kind == EngineErrorKind.Kernel
                ? new ProblemException(ProblemKind.Kernel, error.Text, "give the daemon CAP_KILL, or kill the process yourself")
                : session.State == SessionState.Ended ? NoSession(inspector, session.Id)
                : new ProblemException(ProblemKind.Conflict, error.Text, "ask again in a moment, or kill the process yourself");
        }

        LogKilled(session.Id, session.Pid, request.Peer);
        await ControlResponse.JsonAsync(request.Http, await inspector.SessionAsync(session, request.Aborted), Json.SessionDto, StatusCodes.Status202Accepted);
    }

    private async Task RegionsOfSessionAsync(ControlRequest request)
    {
        Session session = Find(request);
        int limit = (int)request.Integer("limit", 1000, 1, MaximumRegions);
        string? after = request.Text("after");
        request.RefuseOthers();
        ulong from = 0;
        if (after is not null && !RegionCursor.TryParseAddress(after, out from))
            throw new ProblemException(ProblemKind.BadRequest, $"parameter after: \"{after}\" is no address", "use next of the answer before");
        await ControlResponse.JsonAsync(request.Http, await inspector.RegionsAsync(session, from, limit, request.Aborted), Json.RegionListDto);
    }

    private async Task RegionsAsync(ControlRequest request)
    {
        SessionFilter filter = new(request.Text("tenant"));
        int limit = (int)request.Integer("limit", 1000, 1, MaximumRegions);
        string? after = request.Text("after");
        request.RefuseOthers();
        RegionCursor cursor = default;
        if (after is not null && !RegionCursor.TryParse(after, out cursor))
            throw new ProblemException(ProblemKind.BadRequest, $"parameter after: \"{after}\" is no place in the list", "use next of the answer before");
        await ControlResponse.JsonAsync(request.Http, await inspector.RegionsAsync(filter, cursor, limit, request.Aborted), Json.RegionListDto);
    }

    private async Task MapAsync(ControlRequest request)
    {
        Session session = Find(request);
        int cells = (int)request.Integer("cells", 256, 1, PageMap.MaximumCells);
        request.RefuseOthers();
        if (!RegionCursor.TryParseAddress(request.Value(1), out ulong address))
            throw NoRegion(session.Id, request.Value(1));
        using IDisposable place = limits.Maps.Enter();
        RegionMapDto map = await Inspector.MapAsync(session, address, cells, request.Aborted) ?? throw NoRegion(session.Id, request.Value(1));
        await ControlResponse.JsonAsync(request.Http, map, Json.RegionMapDto);
    }

    /// <summary>The session that the path of a request names.</summary>
    internal static Session Find(Inspector inspector, ControlRequest request) => inspector.Find(request.SessionId(0)) ?? throw NoSession(inspector, request.SessionId(0));

    internal static ProblemException NoSession(Inspector inspector, long id) => inspector.IsStopping
        ? ControlRouter.Stopping()
        : new ProblemException(ProblemKind.NotFound, $"there is no session {id}", "it may have ended; GET /v1/sessions lists those that live");

    private Session Find(ControlRequest request) => Find(inspector, request);

    private static ProblemException NoRegion(long session, string address) => new(
        ProblemKind.NotFound, $"no region of session {session} holds the address {address}", $"GET /v1/sessions/{session}/regions lists them");

    [LoggerMessage(2220, LogLevel.Information, "Session {Session} of pid {Pid} was killed for {Peer}")]
    private partial void LogKilled(long session, int pid, ControlPeer peer);

    [LoggerMessage(2221, LogLevel.Warning, "Session {Session} of pid {Pid} could not be killed for {Peer}: {Reason}")]
    private partial void LogNotKilled(long session, int pid, ControlPeer peer, string reason);
}
