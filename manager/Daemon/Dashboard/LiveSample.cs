using UffdManager.Control;

namespace UffdManager.Daemon.Dashboard;

/// <summary>One look at the daemon.</summary>
/// <param name="Frame">For every page.</param>
/// <param name="Latency">For pages that have just been opened.</param>
internal sealed record LiveSample(LiveFrame Frame, LatencyHistoryDto Latency);
