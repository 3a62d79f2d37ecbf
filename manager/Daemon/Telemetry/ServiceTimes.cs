namespace UffdManager.Daemon.Telemetry;

/// <summary>Percentiles of the time from a fault's read to its resolution. Each is at most 1.6 % above the true value.</summary>
/// <param name="Count">Faults seen since the daemon started; 0 makes all percentiles 0.</param>
/// <param name="P50">Median, nanoseconds.</param>
/// <param name="P90">90th percentile, nanoseconds.</param>
/// <param name="P99">99th percentile, nanoseconds.</param>
/// <param name="P999">99.9th percentile, nanoseconds.</param>
public readonly record struct ServiceTimes(long Count, long P50, long P90, long P99, long P999);
