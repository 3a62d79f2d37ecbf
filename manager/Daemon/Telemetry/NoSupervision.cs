namespace UffdManager.Daemon.Telemetry;

/// <summary>A daemon that nobody supervises.</summary>
internal sealed class NoSupervision : ISupervisionReadings
{
    /// <inheritdoc/>
    public int Restored => 0;

    /// <inheritdoc/>
    public int Gone => 0;

    /// <inheritdoc/>
    public int Failed => 0;

    /// <inheritdoc/>
    public TimeSpan RestoreDuration => TimeSpan.Zero;

    /// <inheritdoc/>
    public bool Keeps => false;

    /// <inheritdoc/>
    public int Descriptors => 0;

    /// <inheritdoc/>
    public long StoredSets => 0;

    /// <inheritdoc/>
    public long RefusedSets => 0;

    /// <inheritdoc/>
    public int QueueLength => 0;
}
