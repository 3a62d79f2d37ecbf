namespace UffdManager.Engine.Telemetry;

/// <summary>How a run of a source went whose policy replays working sets.</summary>
public enum ReplayOutcome
{
    /// <summary>Served on demand, for lack of a trace that is of use.</summary>
    Recorded,

    /// <summary>Everything that was planned was installed.</summary>
    Replayed,

    /// <summary>The policy's limit of bytes or time left something out.</summary>
    Limited,

    /// <summary>Given up: the run needed other pages. The next one is served on demand, and learnt from.</summary>
    Useless,

    /// <summary>Given up: the kernel had no memory, or the source failed.</summary>
    Failed,
}
