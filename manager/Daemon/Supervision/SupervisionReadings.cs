using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Supervision;

/// <summary>What this folder has to tell the metrics.</summary>
internal sealed class SupervisionReadings(RestoreResult result, SystemdDescriptorStore store, NotifySocket socket) : ISupervisionReadings
{
    /// <inheritdoc/>
    public int Restored => result.Report?.Sessions.Count ?? 0;

    /// <inheritdoc/>
    public int Gone => result.Report?.Gone ?? 0;

    /// <inheritdoc/>
    public int Failed => result.Report?.Failures.Count ?? 0;

    /// <inheritdoc/>
    public TimeSpan RestoreDuration => result.Duration;

    /// <inheritdoc/>
    public bool Keeps => store.IsKept;

    /// <inheritdoc/>
    public int Descriptors => store.Descriptors;

    /// <inheritdoc/>
    public long StoredSets => store.StoredSets;

    /// <inheritdoc/>
    public long RefusedSets => store.RefusedSets;

    /// <inheritdoc/>
    public int QueueLength => socket.QueueLength;
}
