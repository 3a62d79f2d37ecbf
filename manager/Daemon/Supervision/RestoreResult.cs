using UffdManager.Engine.State;

namespace UffdManager.Daemon.Supervision;

/// <summary>What this manager took over from the one before. Written once, at the start.</summary>
internal sealed class RestoreResult
{
    private Outcome? _outcome;

    /// <summary>The engine's report; null when nothing was left by an earlier manager.</summary>
    public RestoreReport? Report => Volatile.Read(ref _outcome)?.Report;

    /// <summary>How long it took; zero when there was nothing to do.</summary>
    public TimeSpan Duration => Volatile.Read(ref _outcome)?.Duration ?? TimeSpan.Zero;

    /// <summary>Sets it.</summary>
    public void Set(RestoreReport report, TimeSpan duration) => Volatile.Write(ref _outcome, new Outcome(report, duration));

    private sealed record Outcome(RestoreReport Report, TimeSpan Duration);
}
