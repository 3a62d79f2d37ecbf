namespace UffdManager.Benchmarks.Scenarios;

/// <summary>Something that is measured with both handlers and gives one or more rows.</summary>
internal abstract class Scenario
{
    /// <summary>Rounds before the ones that count, in every scenario.</summary>
    protected const int WarmUps = 2;

    /// <summary>For --only, and the name of the failed row.</summary>
    public abstract string Name { get; }

    /// <summary>Whether a second reference handler cannot stand in for the manager.</summary>
    public virtual bool NeedsManager => false;

    /// <exception cref="BenchException">It could not be measured.</exception>
    public abstract Task<IReadOnlyList<Row>> RunAsync(Bench bench);
}
