using System.Diagnostics.Metrics;
using OpenTelemetry.Metrics;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Gives every instrument an explicit limit of series, exactly the number that its labels allow, and every histogram explicit
/// buckets. The SDK's own defaults are 2,000 series and buckets that begin at 5, in whatever unit.
/// </summary>
internal static class MeterViews
{
    private static readonly Dictionary<string, InstrumentDefinition> ByName = Instruments.All.ToDictionary(d => d.Name, StringComparer.Ordinal);

    /// <summary>The view of an instrument.</summary>
    /// <exception cref="InvalidOperationException">The instrument is not declared in <see cref="Instruments"/>.</exception>
    public static MetricStreamConfiguration For(Instrument instrument)
    {
        if (!ByName.TryGetValue(instrument.Name, out var definition))
        {
            throw new InvalidOperationException($"{instrument.Name} is not declared in {nameof(Instruments)}.");
        }

        // One series more than there can be: what overflows would be a bug, and is then exported as otel_metric_overflow.
        int limit = definition.Cardinality + 1;
        return definition.Kind == InstrumentKind.Histogram
            ? new ExplicitBucketHistogramConfiguration { Boundaries = definition.Buckets, RecordMinMax = false, CardinalityLimit = limit }
            : new MetricStreamConfiguration { CardinalityLimit = limit };
    }
}
