namespace UffdManager.Daemon.Hosting;

/// <summary>The daemon's phase: starting, then ready, then stopping, never back; and draining while it is ready but takes no new sessions.</summary>
internal sealed class Readiness(DrainGate? drain = null) : IReadiness
{
    private const int Starting = 0;
    private const int Ready = 1;
    private const int Stopping = 2;
    private int _phase = Starting;

    public bool IsReady => Volatile.Read(ref _phase) == Ready && drain is not { IsDraining: true };

    /// <summary>Whether the stop has begun: from then on sessions are given away or ended, and what is not there may live on in the successor.</summary>
    public bool IsStopping => Volatile.Read(ref _phase) == Stopping;

    public string Reason => Volatile.Read(ref _phase) switch
    {
        Starting => "starting",
        Ready => drain is { IsDraining: true } ? "draining" : "ready",
        _ => "stopping",
    };

    // A stop that comes during the start must not be undone by the start's end.
    public void MarkReady() => Interlocked.CompareExchange(ref _phase, Ready, Starting);

    public void MarkStopping() => Volatile.Write(ref _phase, Stopping);
}
