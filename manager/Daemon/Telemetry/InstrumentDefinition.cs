namespace UffdManager.Daemon.Telemetry;

/// <summary>One metric, as declared in <see cref="Instruments"/>.</summary>
/// <param name="Name">Name in the code, in Prometheus and over OTLP alike.</param>
/// <param name="Kind">Type.</param>
/// <param name="Unit">UCUM unit: <c>s</c>, <c>By</c>, or an annotation for counts of things.</param>
/// <param name="Description">One sentence.</param>
/// <param name="Labels">The labels of every series.</param>
internal sealed record InstrumentDefinition(
    string Name, InstrumentKind Kind, string Unit, string Description, params InstrumentLabel[] Labels)
{
    /// <summary>Upper bounds of the buckets, ascending, without +Inf; empty but for histograms.</summary>
    public double[] Buckets { get; init; } = [];

    /// <summary>The greatest number of series, which is what the SDK is told to allow.</summary>
    public int Cardinality => Labels.Aggregate(1, (product, label) => product * label.Limit);
}
