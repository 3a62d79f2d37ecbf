namespace UffdManager.Engine.WorkingSets;

/// <summary>What one run replays.</summary>
internal sealed class ReplayAssignment(Trace trace, int number)
{
    public Trace Trace { get; } = trace;

    /// <summary>Chooses the probes; at least 1.</summary>
    public int Number { get; } = number;

    /// <summary>Pages planned so far, over all regions; belongs to the working set.</summary>
    public long Pages { get; set; }
}
