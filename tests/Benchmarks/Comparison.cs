namespace UffdManager.Benchmarks;

/// <summary>The values that both handlers gave for each metric, round by round.</summary>
internal sealed class Comparison
{
    private readonly Dictionary<(HandlerRole Role, string Metric), List<double>> _values = [];

    public void Add(HandlerRole role, IReadOnlyDictionary<string, double> measured)
    {
        foreach ((string metric, double value) in measured)
        {
            if (!_values.TryGetValue((role, metric), out List<double>? list))
                _values[(role, metric)] = list = [];
            list.Add(value);
        }
    }

    /// <summary>The row of one metric.</summary>
    /// <param name="name">Name of the row.</param>
    /// <param name="unit">Its unit.</param>
    /// <param name="metric">The metric's name in the measurements.</param>
    /// <param name="scale">Multiplies the measured values into the unit.</param>
    /// <param name="target">What is promised.</param>
    public Row ToRow(string name, string unit, string metric, double scale, Target? target = null)
    {
        List<double> manager = _values.GetValueOrDefault((HandlerRole.Manager, metric), []);
        List<double> reference = _values.GetValueOrDefault((HandlerRole.Reference, metric), []);
        return new Row
        {
            Name = name,
            Unit = unit,
            Manager = manager.Count > 0 ? Median(manager) * scale : null,
            Reference = reference.Count > 0 ? Median(reference) * scale : null,
            Runs = Math.Min(manager.Count, reference.Count),
            Target = target,
            Error = manager.Count == 0 || reference.Count == 0 ? $"no measurement of {metric}" : null,
        };
    }

    /// <summary>The middle value, or the mean of the two in the middle.</summary>
    public static double Median(IReadOnlyCollection<double> values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
