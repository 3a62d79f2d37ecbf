namespace UffdManager.Engine.Policies;

/// <summary>What is installed ahead of the faults of a region, beside the fault-around window that goes with every mode.</summary>
public enum PrefetchMode
{
    /// <summary>Nothing: every page waits for its fault.</summary>
    None,

    /// <summary>Who reads forward gets windows that double with every fault that goes on where the last window ended.</summary>
    Sequential,

    /// <summary>The pages that earlier runs of the same source needed, see <see cref="WorkingSets.WorkingSetLibrary"/>.</summary>
    Replay,

    /// <summary>Everything, in the background.</summary>
    Full,

    /// <summary>Like <see cref="Replay"/>; when the run has been observed, everything.</summary>
    ReplayThenFull,
}
