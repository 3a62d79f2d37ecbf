using Microsoft.Extensions.Hosting;
using UffdManager.Engine;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Daemon.Inspection;

/// <summary>Looks at the fault loops once a second, so that somebody who asks at any moment can be told how busy they are.</summary>
internal sealed class LoopSampler(FaultEngine engine, FaultStatistics statistics, TimeProvider time) : IHostedService, IDisposable
{
    private static readonly TimeSpan s_period = TimeSpan.FromSeconds(1);
    private const int SweepEvery = 30;

    private ITimer? _timer;
    private Reading _last = new(0, []);
    private IReadOnlyList<LoopRate> _rates = [];
    private int _ticks;

    /// <summary>Of the last full second; empty in the first one.</summary>
    public IReadOnlyList<LoopRate> Rates => Volatile.Read(ref _rates);

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _last = Read();
        _timer = time.CreateTimer(_ => Tick(), state: null, s_period, s_period);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        return Task.CompletedTask;
    }

    public void Dispose() => _timer?.Dispose();

    /// <summary>How busy each loop was between two looks at it.</summary>
    public static IReadOnlyList<LoopRate> Between(Reading before, Reading after)
    {
        double nanoseconds = Math.Max(1, after.At - before.At);
        return [.. after.Loops.Zip(before.Loops, (now, then) => new LoopRate(
            Math.Clamp((now.BusyNanoseconds - then.BusyNanoseconds) / nanoseconds, 0, 1),
            (now.Wakeups - then.Wakeups) * 1e9 / nanoseconds))];
    }

    /// <summary>The loops as they are now.</summary>
    public Reading Read() => new(MonotonicClock.NowNanoseconds, engine.Loops());

    private void Tick()
    {
        Reading now = Read();
        Volatile.Write(ref _rates, Between(_last, now));
        _last = now;
        if (++_ticks % SweepEvery == 0)
            statistics.Sweep(engine.Sessions().Select(session => session.Id));
    }

    /// <summary>The loops at one moment.</summary>
    /// <param name="At">Monotonic clock, nanoseconds.</param>
    /// <param name="Loops">Their counters.</param>
    internal sealed record Reading(long At, IReadOnlyList<LoopSnapshot> Loops);

    /// <summary>What a loop did in some time.</summary>
    /// <param name="BusyRatio">Part of the time in which it did not sleep.</param>
    /// <param name="WakeupsPerSecond">Returns from epoll with something to do.</param>
    internal readonly record struct LoopRate(double BusyRatio, double WakeupsPerSecond);
}
