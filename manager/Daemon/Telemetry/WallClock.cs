using UffdManager.Linux;

namespace UffdManager.Daemon.Telemetry;

/// <summary>The engine stamps by the monotonic clock; traces want the time of day.</summary>
internal static class WallClock
{
    /// <summary>The time of day at a moment of the monotonic clock, as far as the clock has not been set since.</summary>
    /// <param name="monotonic">Nanoseconds of CLOCK_MONOTONIC.</param>
    /// <param name="time">Clock of the day.</param>
    public static DateTimeOffset At(long monotonic, TimeProvider time) =>
        time.GetUtcNow() - TimeSpan.FromMicroseconds((MonotonicClock.NowNanoseconds - monotonic) / 1000.0);
}
