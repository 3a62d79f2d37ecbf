using UffdManager.Daemon.Supervision;
using UffdManager.Engine.State;

namespace UffdManager.Daemon.Inspection;

/// <summary>What this process took over from its predecessor, and whether a successor would get the sessions.</summary>
internal sealed class Succession(IDescriptorStore store, RestoreResult result)
{
    /// <summary>Whether somebody keeps descriptors for a successor.</summary>
    public bool IsKept => store.IsKept;

    /// <summary>What was restored, and the time it took; null when there was nothing.</summary>
    public (RestoreReport Report, TimeSpan Took)? Restored => result.Report is { } report ? (report, result.Duration) : null;
}
