namespace UffdManager.Engine.Telemetry;

/// <summary>What a replay did with pages, or what became of them. Counted in base pages.</summary>
public enum ReplayPages
{
    /// <summary>Installed ahead of their faults.</summary>
    Installed,

    /// <summary>Planned, but their fault was quicker.</summary>
    Late,

    /// <summary>Not planned, and touched.</summary>
    Missed,

    /// <summary>Left out to see whether they are touched, and touched.</summary>
    Probed,

    /// <summary>
    /// Of the installed ones, those that were touched while the run was observed. An estimate, made when the observation ends, from the share of probes
    /// that were touched; a run without probes adds nothing.
    /// </summary>
    Used,

    /// <summary>The other ones, by the same estimate.</summary>
    Wasted,
}
