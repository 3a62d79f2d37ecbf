using Microsoft.AspNetCore.Http;
using UffdManager.Control;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.LiveSnapshots;
using UffdManager.Daemon.Telemetry;
using UffdManager.Engine;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Daemon.Control;

/// <summary>Snapshots of running sessions.</summary>
internal sealed class SessionSnapshotRoutes(LiveSnapshotService snapshots, Inspector inspector, ControlLimits limits, TimeProvider time) : IControlRoutes
{
    private const string Template = "/v1/sessions/{id}/snapshot";
    private const long LeastBuffer = 1 << 20;
    private const long MostBuffer = 16L << 30;

    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(250);

    // A VM may be kept paused until it is told of the instant.
    private static readonly TimeSpan s_beforeInstant = TimeSpan.FromMilliseconds(5);

    private static ControlJson Json => ControlResponse.Json;

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, Template, AccessRight.Read, ShowAsync),
        new(HttpMethods.Post, Template, AccessRight.Admin, TakeAsync),
        new(HttpMethods.Delete, Template, AccessRight.Admin, CancelAsync),
    ];

    private Task ShowAsync(ControlRequest request)
    {
        request.RefuseOthers();
        LiveSnapshot snapshot = Find(request);
        return ControlResponse.JsonAsync(request.Http, Document(snapshot, null), Json.SnapshotProgressDto);
    }

    private Task CancelAsync(ControlRequest request)
    {
        request.RefuseOthers();
        Find(request).Cancel();
        request.Http.Response.StatusCode = StatusCodes.Status202Accepted;
        return Task.CompletedTask;
    }

    private async Task TakeAsync(ControlRequest request)
    {
        request.RefuseOthers();
        Session session = SessionRoutes.Find(inspector, request);
        CheckRight(request, session);
        SnapshotRequestDto wanted = await request.BodyAsync(Json.SnapshotRequestDto);
        if (wanted.BufferBytes is { } bytes && bytes is < LeastBuffer or > MostBuffer)
            throw new ProblemException(ProblemKind.BadRequest, $"bufferBytes: {wanted.BufferBytes} is not allowed", $"allowed is a number from {LeastBuffer} to {MostBuffer}");
        LiveSnapshot snapshot = await BeginAsync(request, session, wanted);

        // Not before: who waits for a file system must not keep others from watching what they do.
        using IDisposable place = Enter(snapshot);
        using CancellationTokenRegistration gone = request.Aborted.Register(snapshot.Cancel);
        using CancellationTokenRegistration stop = limits.Stopping.Register(snapshot.Cancel);

        // What fails before the instant is the answer; what fails behind it is the last line.
        while (!snapshot.Over.IsCompleted && snapshot.Progress.TotalBytes == 0)
            await TickAsync(snapshot, s_beforeInstant);
        if (snapshot.Over.IsCompleted && await snapshot.Over is { } early)
            throw Problem(session, early);
        ControlResponse.BeginStream(request.Http);
        while (!snapshot.Over.IsCompleted)
        {
            await ControlResponse.LineAsync(request.Http, Document(snapshot, null), Json.SnapshotProgressDto, request.Aborted);
            await TickAsync(snapshot, s_period);
        }

        EngineError? error = await snapshot.Over;
        await ControlResponse.LineAsync(
            request.Http,
            Document(snapshot, error is null ? "written" : "failed") with { Reason = error?.Text },
            Json.SnapshotProgressDto,
            request.Aborted);
    }

    private IDisposable Enter(LiveSnapshot snapshot)
    {
        try
        {
            return limits.Streams.Enter();
        }
        catch (ProblemException)
        {
            snapshot.Cancel();
            throw;
        }
    }

    private async Task<LiveSnapshot> BeginAsync(ControlRequest request, Session session, SnapshotRequestDto wanted)
    {
        try
        {
            return await snapshots.BeginAsync(session, wanted, request.Peer.Credentials.Uid, request.Peer.Credentials.Gid, request.Peer.ToString(), request.Aborted)
                ?? throw new ProblemException(ProblemKind.Conflict, $"a snapshot of session {session.Id} is being taken", "wait for its end, or DELETE it");
        }
        catch (SyscallException failure)
        {
            throw new ProblemException(
                failure.Errno is Errno.EINVAL ? ProblemKind.BadRequest : failure.Errno == Errno.EEXIST ? ProblemKind.Conflict : ProblemKind.Kernel,
                failure.Message,
                failure.Errno switch
                {
                    Errno.EEXIST => "nothing is overwritten: name another file, or remove what is there",
                    Errno.EROFS or Errno.EACCES => "the directory must be yours and the daemon's to write to; under systemd ReadWritePaths= of the unit opens it, as the drop-in snapshots.conf does",
                    Errno.ENOSYS => "openat2(2) is not to be had: it takes Linux 5.6, and a unit without RestrictSUIDSGID=",
                    _ => "name a file in a directory that is there",
                });
        }
        catch (ArgumentException refused)
        {
            throw new ProblemException(ProblemKind.NotFound, $"base: {refused.Message}", "a base is an image, or a file below the source directories of the session's tenant");
        }
    }

    // The memory of a process is worth more than its life: who is not root gets only what is his own.
    private static void CheckRight(ControlRequest request, Session session)
    {
        uint uid = request.Peer.Credentials.Uid;
        if (uid != 0 && (FileIo.TryStat($"/proc/{session.Pid}", out FileStatus owner) != Errno.OK || owner.Uid != uid))
            throw new ProblemException(ProblemKind.Forbidden, $"uid {uid} may not read the memory of session {session.Id}: its process is another user's", "ask as root or as that user");
    }

    // A pace for looking, cut short by the end that is looked for.
    private async Task TickAsync(LiveSnapshot snapshot, TimeSpan period)
    {
        try
        {
            await snapshot.Over.WaitAsync(period, time);
        }
        catch (TimeoutException)
        {
            // The next line is due.
        }
    }

    private ProblemException Problem(Session session, EngineError error) => error.Errno switch
    {
        Errno.ESRCH => SessionRoutes.NoSession(inspector, session.Id),
        Errno.EBUSY => new ProblemException(ProblemKind.Conflict, error.Text, "ask again when that is over"),
        Errno.ECANCELED => new ProblemException(ProblemKind.Conflict, $"the snapshot came to nothing: {error.Text}", "the session goes on; try again"),
        Errno.EACCES => new ProblemException(ProblemKind.Kernel, error.Text, MemoryRights.Remedy),
        Errno.EINVAL or Errno.ENOENT => new ProblemException(ProblemKind.BadRequest, error.Text),
        _ => new ProblemException(ProblemKind.Kernel, error.Text, "the session goes on as before"),
    };

    private LiveSnapshot Find(ControlRequest request)
    {
        Session session = SessionRoutes.Find(inspector, request);
        return snapshots.Find(session.Id)
            ?? throw new ProblemException(ProblemKind.Conflict, $"no snapshot of session {session.Id} is being taken", $"POST /v1/sessions/{session.Id}/snapshot takes one");
    }

    private SnapshotProgressDto Document(LiveSnapshot snapshot, string? result) => new()
    {
        Session = snapshot.Session.Id,
        Out = snapshot.Path,
        TakenAt = snapshot.Progress.TakenAt == 0 ? null : Words.Time(WallClock.At(snapshot.Progress.TakenAt, time)),
        TotalBytes = snapshot.Progress.TotalBytes,
        DoneBytes = snapshot.Progress.DoneBytes,
        WrittenBytes = snapshot.Progress.WrittenBytes,
        SavedPages = snapshot.Progress.SavedPages,
        ArmSeconds = snapshot.Progress.ArmNanoseconds / 1e9,
        HoldSeconds = snapshot.Progress.HoldNanoseconds / 1e9,
        ThrottledSeconds = snapshot.Progress.ThrottledNanoseconds / 1e9,
        ElapsedSeconds = time.GetElapsedTime(snapshot.Began).TotalSeconds,
        Done = result is not null,
        Result = result,
        Reason = null,
    };
}
