namespace UffdManager.Daemon.Hosting;

/// <summary>The daemon's phase: starting, then ready, then stopping; never back.</summary>
internal sealed class Readiness : IReadiness
{
    private const int Starting = 0;
    private const int Ready = 1;
    private const int Stopping = 2;
    private int _phase = Starting;

    public bool IsReady => Volatile.Read(ref _phase) == Ready;

    public string Reason => Volatile.Read(ref _phase) switch
    {
        Starting => "starting",
        Ready => "ready",
        _ => "stopping",
    };

    // A stop that comes during the start must not be undone by the start's end.
    public void MarkReady() => Interlocked.CompareExchange(ref _phase, Ready, Starting);

    public void MarkStopping() => Volatile.Write(ref _phase, Stopping);
}
