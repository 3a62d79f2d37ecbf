using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using UffdManager.Daemon.Hosting;
using UffdManager.Engine;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Supervision;

/// <summary>
/// Tells the service manager that the daemon is alive: only when each fault loop and each front door has taken a turn since the last time. If one stands still it
/// says which, once, and is silent until that turns again; the service manager then ends the daemon, and a successor takes the sessions over.
/// </summary>
internal sealed partial class Watchdog(
    WatchdogSettings settings, FaultEngine engine, IEnumerable<IFrontDoor> doors, ServiceManager manager, ILogger<Watchdog> logger) : IHostedService, IDisposable
{
    // Two turns may come late before the time is over.
    private const int TurnsInTimeout = 3;

    private readonly ManualResetEventSlim _stop = new();
    private Thread? _thread;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (settings.Problem is { } problem)
            LogIgnored(problem);
        if (settings.Timeout is { } timeout)
        {
            // A thread of its own: the watch must not depend on a thread pool that is short of threads.
            _thread = new Thread(() => Watch(timeout / TurnsInTimeout)) { IsBackground = true, Name = "watchdog" };
            _thread.Start();
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    // The thread is not waited for: it may be waiting for a thread that stands still. It must go on while the others stop, or a slow stop would count as a hang.
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public void Dispose() => _stop.Set();

    private void Watch(TimeSpan period)
    {
        while (!_stop.IsSet)
        {
            long began = Environment.TickCount64;
            IReadOnlyList<LoopSnapshot> before = engine.Loops();
            Task loops = engine.PingAsync();
            (string Name, Task Turn)[] others = [.. doors.Select(door => ($"front door {door.Name}", door.PingAsync()))];
            Task all = Task.WhenAll([loops, .. others.Select(other => other.Turn)]);
            bool isLate = !all.Wait(period);
            if (isLate)
            {
                LogStandsStill(string.Join(", ", WhoStands(before, loops, others)), period.TotalSeconds);
                while (!all.Wait(period))
                {
                    if (_stop.IsSet)
                        return;
                }

                LogTurns((Environment.TickCount64 - began) / 1000.0);
            }

            manager.StillAlive();
            TimeSpan left = period - TimeSpan.FromMilliseconds(Environment.TickCount64 - began);
            if (left > TimeSpan.Zero)
                _stop.Wait(left);
        }
    }

    // The question woke every loop; who has not come back from epoll since did not hear it.
    private IEnumerable<string> WhoStands(IReadOnlyList<LoopSnapshot> before, Task loops, (string Name, Task Turn)[] others)
    {
        if (!loops.IsCompleted)
        {
            IReadOnlyList<LoopSnapshot> now = engine.Loops();
            string[] standing = [.. now.Where(loop => before.Any(old => old.Index == loop.Index && old.Wakeups == loop.Wakeups)).Select(loop => $"fault loop {loop.Index}")];
            foreach (string name in standing.Length > 0 ? standing : ["a fault loop"])
                yield return name;
        }

        foreach ((string name, Task turn) in others)
        {
            if (!turn.IsCompleted)
                yield return name;
        }
    }

    [LoggerMessage(1040, LogLevel.Critical, "Standing still: {Who} took no turn for {Seconds:0.0} s; the service manager is not told that the daemon is alive until it turns again")]
    private partial void LogStandsStill(string who, double seconds);

    [LoggerMessage(1041, LogLevel.Warning, "All threads turn again after {Seconds:0.0} s")]
    private partial void LogTurns(double seconds);

    [LoggerMessage(1042, LogLevel.Warning, "{Problem}")]
    private partial void LogIgnored(string problem);
}
