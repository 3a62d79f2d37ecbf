using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Telemetry;
using UffdManager.Daemon.Tenancy;
using UffdManager.Engine;
using UffdManager.Engine.Inspection;
using UffdManager.Engine.Sessions;

namespace UffdManager.Daemon.Inspection;

/// <summary>
/// What the daemon tells about itself: the read model of the control API and of the dashboard, in the documents of docs/CONTROL-API.md. Any thread. What
/// belongs to a fault loop is asked of it in slices; an answer that does not come within five seconds is a <see cref="TimeoutException"/>, and one that is refused because
/// the engine stops an <see cref="ObjectDisposedException"/>.
/// </summary>
internal sealed partial class Inspector(
    FaultEngine engine,
    TenantCatalog tenants,
    PolicyCatalog policies,
    Readiness readiness,
    DrainGate drain,
    IProcessHealth health,
    FaultSamplePump pump,
    FaultStatistics statistics,
    LoopSampler loops,
    KernelSupport kernel,
    DaemonSockets sockets,
    Succession succession,
    TimeProvider time)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    private readonly DateTimeOffset _startedAt = time.GetUtcNow();
    private readonly long _started = time.GetTimestamp();

    /// <summary>`starting`, `ready`, `draining` or `stopping`.</summary>
    public string Phase => readiness.Reason;

    /// <summary>Whether the sessions leave, so that one that is not found may live on in the successor.</summary>
    public bool IsStopping => readiness.IsStopping;

    // To be called after the sessions have been listed: the stop is marked before the first of them leaves, so a list that was made before the mark is whole.
    private void ThrowIfStopping() => ObjectDisposedException.ThrowIf(readiness.IsStopping, engine);

    private Task<T> WithinAsync<T>(Task<T> answer, CancellationToken cancellationToken) => answer.WaitAsync(s_patience, time, cancellationToken);

    /// <summary>The numbers of many sessions, in their order.</summary>
    public async Task<IReadOnlyList<SessionReading>> ReadAsync(IReadOnlyList<Session> sessions, CancellationToken cancellationToken) =>
        await WithinAsync(engine.ReadAsync(sessions), cancellationToken);
}
