using UffdManager.Engine;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Healthy = every fault loop takes a turn within two seconds of being asked to. One question is under way at a time, so that probes of
/// a stuck daemon cost it nothing further.
/// </summary>
internal sealed class LoopHealth(FaultEngine engine, TimeProvider time) : IProcessHealth
{
    /// <summary>A turn takes microseconds; a machine that swaps or has no CPU to give is excused for this long.</summary>
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private Task _ping = Task.CompletedTask;

    /// <inheritdoc/>
    public async Task<IReadOnlyList<string>> ComplaintsAsync(CancellationToken cancellationToken)
    {
        try
        {
            Task ping;
            lock (_lock)
            {
                ping = _ping = _ping.IsCompleted ? engine.PingAsync() : _ping;
            }

            await ping.WaitAsync(Bound, time, cancellationToken);
            return [];
        }
        catch (TimeoutException)
        {
            return [$"a fault loop has not turned for {Bound.TotalSeconds:0} s"];
        }
    }
}
