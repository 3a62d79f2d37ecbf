using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Inspection;

namespace UffdManager.Daemon.Control;

/// <summary>Runs the daemon empty: new sessions are refused, and a stream tells how many are left.</summary>
internal sealed partial class DrainRoutes(DrainGate drain, Inspector inspector, ControlLimits limits, TimeProvider time, ILogger<DrainRoutes> logger) : IControlRoutes
{
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_heartbeat = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_longest = TimeSpan.FromDays(7);

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Post, "/v1/drain", AccessRight.Admin, BeginAsync),
        new(HttpMethods.Delete, "/v1/drain", AccessRight.Admin, EndAsync),
    ];

    private async Task BeginAsync(ControlRequest request)
    {
        TimeSpan timeout = request.Duration("timeout", TimeSpan.Zero, TimeSpan.Zero, s_longest);
        request.RefuseOthers();
        using IDisposable place = limits.Streams.Enter();
        DrainGate.Draining draining = drain.Begin(request.Peer.ToString(), out bool isNew);
        if (isNew)
            LogDraining(request.Peer);

        ControlResponse.BeginStream(request.Http);
        await FollowAsync(request, draining, timeout);
    }

    private async Task FollowAsync(ControlRequest request, DrainGate.Draining draining, TimeSpan timeout)
    {
        using CancellationTokenSource stop = CancellationTokenSource.CreateLinkedTokenSource(request.Aborted, limits.Stopping);
        long began = time.GetTimestamp();
        long said = began;
        long lastSaid = -1;
        while (true)
        {
            IReadOnlyDictionary<string, long> left = inspector.SessionsByTenant();
            long sessions = left.Values.Sum();
            string? result = draining.Over.Task.IsCompleted ? "ended"
                : sessions == 0 ? "drained"
                : limits.Stopping.IsCancellationRequested ? "stopping"
                : timeout > TimeSpan.Zero && time.GetElapsedTime(began) >= timeout ? "timeout"
                : null;
            if (result is not null || sessions != lastSaid || time.GetElapsedTime(said) >= s_heartbeat)
            {
                (lastSaid, said) = (sessions, time.GetTimestamp());
                await SayAsync(request, draining, sessions, left, result);
            }

            if (result is not null)
                return;
            await WaitAsync(draining, stop.Token);
            request.Aborted.ThrowIfCancellationRequested();
        }
    }

    // A tick, or sooner when the drain is over or the daemon stops.
    private async Task WaitAsync(DrainGate.Draining draining, CancellationToken stop)
    {
        try
        {
            await draining.Over.Task.WaitAsync(s_period, time, stop);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // The caller looks which it was.
        }
    }

    private Task SayAsync(ControlRequest request, DrainGate.Draining draining, long sessions, IReadOnlyDictionary<string, long> left, string? result) =>
        ControlResponse.LineAsync(
            request.Http,
            new DrainProgressDto
            {
                At = Words.Time(time.GetUtcNow()),
                Sessions = sessions,
                Tenants = left,
                ElapsedSeconds = time.GetElapsedTime(draining.Timestamp).TotalSeconds,
                Done = result is not null,
                Result = result,
            },
            ControlResponse.Json.DrainProgressDto,
            request.Aborted);

    private Task EndAsync(ControlRequest request)
    {
        request.RefuseOthers();
        if (!drain.End())
            throw new ProblemException(ProblemKind.Conflict, "nothing is being drained", "POST /v1/drain begins it");
        LogAccepting(request.Peer);
        request.Http.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    [LoggerMessage(2240, LogLevel.Warning, "Draining for {Peer}: new sessions are refused")]
    private partial void LogDraining(ControlPeer peer);

    [LoggerMessage(2241, LogLevel.Warning, "Draining is over for {Peer}: new sessions are accepted")]
    private partial void LogAccepting(ControlPeer peer);
}
