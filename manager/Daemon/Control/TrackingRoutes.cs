using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.LiveSnapshots;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>Which pages of a session change.</summary>
internal sealed partial class TrackingRoutes(FaultEngine engine, Inspector inspector, TimeProvider time, ILogger<TrackingRoutes> logger) : IControlRoutes
{
    private const string Template = "/v1/sessions/{id}/tracking";
    private const int MaximumRuns = 10_000;

    private static ControlJson Json => ControlResponse.Json;

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, Template, AccessRight.Read, ShowAsync),
        new(HttpMethods.Post, Template, AccessRight.Admin, StartAsync),
        new(HttpMethods.Delete, Template, AccessRight.Admin, StopAsync),
        new(HttpMethods.Get, $"{Template}/pages", AccessRight.Read, request => PagesAsync(request, reset: false)),
        new(HttpMethods.Post, $"{Template}/pages", AccessRight.Admin, request => PagesAsync(request, reset: true)),
    ];

    private async Task ShowAsync(ControlRequest request)
    {
        request.RefuseOthers();
        Session session = SessionRoutes.Find(inspector, request);
        TrackingStatus status = await FaultEngine.TrackingAsync(session).WaitAsync(TimeSpan.FromSeconds(5), request.Aborted) ?? throw NotTracked(session);
        await ControlResponse.JsonAsync(request.Http, Document(session, status), Json.TrackingDto);
    }

    // Not ended with the request: half of it would be of no use.
    private async Task StartAsync(ControlRequest request)
    {
        request.RefuseOthers();
        Session session = SessionRoutes.Find(inspector, request);
        Check(session, await engine.StartTrackingAsync(session));
        LogStarted(session.Id, session.Pid, request.Peer);
        TrackingStatus status = await FaultEngine.TrackingAsync(session) ?? throw NotTracked(session);
        await ControlResponse.JsonAsync(request.Http, Document(session, status), Json.TrackingDto, StatusCodes.Status201Created);
    }

    private async Task StopAsync(ControlRequest request)
    {
        request.RefuseOthers();
        Session session = SessionRoutes.Find(inspector, request);
        Check(session, await FaultEngine.StopTrackingAsync(session));
        LogStopped(session.Id, session.Pid, request.Peer);
        request.Http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task PagesAsync(ControlRequest request, bool reset)
    {
        int limit = (int)request.Integer("limit", 1000, 1, MaximumRuns);
        string? after = request.Text("after");
        request.RefuseOthers();
        Session session = SessionRoutes.Find(inspector, request);
        ulong from = 0;
        if (after is not null && !RegionCursor.TryParseAddress(after, out from))
            throw new ProblemException(ProblemKind.BadRequest, $"parameter after: \"{after}\" is no address", "use next of the answer before");
        DirtyPages pages = await FaultEngine.DirtyPagesAsync(session, from, limit, reset);
        Check(session, new EngineResult(pages.Error));
        DirtyPagesDto document = new()
        {
            Session = session.Id,
            Runs = [.. pages.Runs.Select(run => new DirtyRunDto { Start = Words.Address(run.Start), Length = (long)run.Length, PageBytes = (long)run.PageBytes })],
            Next = pages.Next is { } next ? Words.Address(next) : null,
        };
        await ControlResponse.JsonAsync(request.Http, document, Json.DirtyPagesDto);
    }

    private TrackingDto Document(Session session, TrackingStatus status) => new()
    {
        Session = session.Id,
        Since = Words.Time(WallClock.At(status.Since, time)),
        Asynchronous = status.IsAsynchronous,
        TrackedBytes = (long)status.TrackedBytes,
        UntrackedBytes = (long)status.UntrackedBytes,
    };

    private void Check(Session session, EngineResult result)
    {
        if (result.Error is not { } error)
            return;
        throw error switch
        {
            { Errno: Errno.ENOENT, Kind: EngineErrorKind.State } => NotTracked(session),
            { Errno: Errno.ESRCH } => SessionRoutes.NoSession(inspector, session.Id),
            { Kind: EngineErrorKind.State } => new ProblemException(ProblemKind.Conflict, error.Text, "GET the tracking of the session shows how it is"),
            { Errno: Errno.EACCES } => new ProblemException(ProblemKind.Kernel, error.Text, MemoryRights.Remedy),
            { Kind: EngineErrorKind.Limit } => new ProblemException(ProblemKind.Unavailable, error.Text),
            _ => new ProblemException(ProblemKind.Kernel, error.Text, "the session goes on as before, untracked"),
        };
    }

    private static ProblemException NotTracked(Session session) =>
        new(ProblemKind.Conflict, $"session {session.Id} is not tracked", $"POST /v1/sessions/{session.Id}/tracking begins it");

    [LoggerMessage(2222, LogLevel.Information, "Changed pages of session {Session} of pid {Pid} are noted for {Peer}")]
    private partial void LogStarted(long session, int pid, ControlPeer peer);

    [LoggerMessage(2223, LogLevel.Information, "Changed pages of session {Session} of pid {Pid} are not noted any more, for {Peer}")]
    private partial void LogStopped(long session, int pid, ControlPeer peer);
}
