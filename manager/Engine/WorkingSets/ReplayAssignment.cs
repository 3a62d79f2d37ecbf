namespace UffdManager.Engine.WorkingSets;

/// <summary>What one run replays.</summary>
internal sealed class ReplayAssignment(Trace trace, int number)
{
    private long _pages;

    public Trace Trace { get; } = trace;

    /// <summary>Chooses the probes; at least 1.</summary>
    public int Number { get; } = number;

    /// <summary>Pages planned so far, over all regions, less those that were not installed in the end.</summary>
    public long Pages => Volatile.Read(ref _pages);

    /// <summary>Plans more of them.</summary>
    public void Take(long pages) => Interlocked.Add(ref _pages, pages);

    /// <summary>Some that were planned were not installed. Any thread.</summary>
    public void GiveBack(long pages) => Interlocked.Add(ref _pages, -pages);
}
