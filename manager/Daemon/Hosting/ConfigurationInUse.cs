using UffdManager.Daemon.Configuration;

namespace UffdManager.Daemon.Hosting;

/// <summary>The configuration as it was last read with success. Any thread.</summary>
internal sealed class ConfigurationInUse(LoadedConfiguration started, TimeProvider time)
{
    private Snapshot _now = new(started, time.GetUtcNow(), []);

    public Snapshot Now => Volatile.Read(ref _now);

    public Snapshot Replace(LoadedConfiguration loaded, IReadOnlyList<string> needsRestart)
    {
        Snapshot snapshot = new(loaded, time.GetUtcNow(), needsRestart);
        Volatile.Write(ref _now, snapshot);
        return snapshot;
    }

    /// <summary>A configuration in use.</summary>
    /// <param name="Loaded">What was read.</param>
    /// <param name="At">When.</param>
    /// <param name="NeedsRestart">Sections in it that differ from those the daemon started with, which it goes on using.</param>
    internal sealed record Snapshot(LoadedConfiguration Loaded, DateTimeOffset At, IReadOnlyList<string> NeedsRestart);
}
