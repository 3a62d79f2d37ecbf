using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>
/// The end of the OpenTelemetry pipeline: renders what a collection yields into an <see cref="ExpositionWriter"/>. It is pull-only; a
/// collection happens when <see cref="MetricsScraper"/> asks for one, never by timer or flush.
/// </summary>
[ExportModes(ExportModes.Pull)]
internal sealed class PullExporter : BaseExporter<Metric>, IPullMetricExporter
{
    /// <summary>Set by the reader that wraps this exporter. Argument: timeout in milliseconds, -1 = none.</summary>
    public Func<int, bool>? Collect { get; set; }

    /// <summary>Where the next collection is written. Guarded by the lock of the scraper.</summary>
    public ExpositionWriter Writer { get; } = new();

    /// <inheritdoc/>
    public override ExportResult Export(in Batch<Metric> batch)
    {
        foreach (var metric in batch)
        {
            Render(metric);
        }

        return ExportResult.Success;
    }

    private void Render(Metric metric)
    {
        bool counter = metric.MetricType is MetricType.LongSum or MetricType.DoubleSum;
        string name = MetricText.FamilyName(metric.Name, metric.Unit, counter);
        var kind = metric.MetricType switch
        {
            MetricType.LongSum or MetricType.DoubleSum => FamilyKind.Counter,
            MetricType.Histogram => FamilyKind.Histogram,
            _ => name.EndsWith("_info", StringComparison.Ordinal) ? FamilyKind.Info : FamilyKind.Gauge,
        };

        Writer.Family(name, kind, MetricText.UnitSuffix(metric.Unit), metric.Description);
        foreach (ref readonly var point in metric.GetMetricPoints())
        {
            Render(name, metric.MetricType, in point);
        }
    }

    private void Render(string name, MetricType type, in MetricPoint point)
    {
        string labels = Writer.Labels(Tags(in point));
        switch (type)
        {
            case MetricType.LongSum:
            case MetricType.LongSumNonMonotonic:
                Writer.Sample(name, labels, point.GetSumLong());
                break;
            case MetricType.DoubleSum:
            case MetricType.DoubleSumNonMonotonic:
                Writer.Sample(name, labels, point.GetSumDouble());
                break;
            case MetricType.LongGauge:
                Writer.Sample(name, labels, point.GetGaugeLastValueLong());
                break;
            case MetricType.DoubleGauge:
                Writer.Sample(name, labels, point.GetGaugeLastValueDouble());
                break;
            case MetricType.Histogram:
                Histogram(name, labels, in point);
                break;
            default:
                throw new NotSupportedException($"{name}: {type} has no text form here; give the instrument a view with explicit buckets.");
        }
    }

    private void Histogram(string name, string labels, in MetricPoint point)
    {
        string bucketName = name + "_bucket";
        long cumulative = 0;
        foreach (var bucket in point.GetHistogramBuckets())
        {
            cumulative += bucket.BucketCount;
            Writer.Bucket(bucketName, labels, bucket.ExplicitBound, cumulative);
        }

        Writer.Sample(name + "_sum", labels, point.GetHistogramSum());
        Writer.Sample(name + "_count", labels, cumulative);
    }

    private static List<KeyValuePair<string, object?>> Tags(in MetricPoint point)
    {
        var tags = new List<KeyValuePair<string, object?>>(point.Tags.Count);
        foreach (var tag in point.Tags)
        {
            tags.Add(tag);
        }

        return tags;
    }
}
