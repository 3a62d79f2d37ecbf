using System.Diagnostics.Metrics;
using System.Text;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using UffdManager.Daemon.Telemetry.Exposition;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>Whole answers, byte for byte, through the real OpenTelemetry pipeline, which sorts labels by name.</summary>
public sealed class ExpositionGoldenTests : IDisposable
{
    private readonly Meter _meter = new("golden." + Guid.NewGuid());
    private readonly MetricsScraper _scraper = new();
    private readonly MeterProvider _provider;

    public ExpositionGoldenTests() => _provider = Sdk.CreateMeterProviderBuilder()
        .AddMeter(_meter.Name)
        .AddView(i => i is Histogram<double>
            ? new ExplicitBucketHistogramConfiguration { Boundaries = [1e-6, 0.001, 1, 10], RecordMinMax = false }
            : null)
        .AddReader(_scraper.Reader)
        .Build();

    public void Dispose()
    {
        _provider.Dispose();
        _scraper.Dispose();
        _meter.Dispose();
    }

    [Fact]
    public async Task Every_kind_of_instrument_is_written_as_Prometheus_text()
    {
        Feed();
        Assert.Equal(
            """
            # HELP demo_faults_total Page faults, by "kind".
            # TYPE demo_faults_total counter
            demo_faults_total{kind="missing",tenant="a"} 42
            demo_faults_total{kind="minor",tenant="b \"\\\n"} 0
            # HELP demo_busy_seconds_total Time spent.
            # TYPE demo_busy_seconds_total counter
            demo_busy_seconds_total 0.25
            # HELP demo_sessions Live sessions.
            # TYPE demo_sessions gauge
            demo_sessions{tenant="a"} -3
            # HELP demo_ratio Odd \\ numbers.
            # TYPE demo_ratio gauge
            demo_ratio{of="nan"} NaN
            demo_ratio{of="up"} +Inf
            demo_ratio{of="down"} -Inf
            demo_ratio{of="tiny"} 1.5e-07
            # HELP demo_build_info About the build.
            # TYPE demo_build_info gauge
            demo_build_info{version="1.2.3"} 1
            # TYPE demo_duration_seconds histogram
            demo_duration_seconds_bucket{kind="missing",le="1e-06"} 1
            demo_duration_seconds_bucket{kind="missing",le="0.001"} 1
            demo_duration_seconds_bucket{kind="missing",le="1"} 3
            demo_duration_seconds_bucket{kind="missing",le="10"} 3
            demo_duration_seconds_bucket{kind="missing",le="+Inf"} 4
            demo_duration_seconds_sum{kind="missing"} 21.500001
            demo_duration_seconds_count{kind="missing"} 4

            """,
            await ScrapeAsync(ExpositionFormat.PrometheusText));
    }

    [Fact]
    public async Task Every_kind_of_instrument_is_written_as_OpenMetrics()
    {
        Feed();
        Assert.Equal(
            """
            # TYPE demo_faults counter
            # HELP demo_faults Page faults, by \"kind\".
            demo_faults_total{kind="missing",tenant="a"} 42
            demo_faults_total{kind="minor",tenant="b \"\\\n"} 0
            # TYPE demo_busy_seconds counter
            # UNIT demo_busy_seconds seconds
            # HELP demo_busy_seconds Time spent.
            demo_busy_seconds_total 0.25
            # TYPE demo_sessions gauge
            # HELP demo_sessions Live sessions.
            demo_sessions{tenant="a"} -3
            # TYPE demo_ratio gauge
            # HELP demo_ratio Odd \\ numbers.
            demo_ratio{of="nan"} NaN
            demo_ratio{of="up"} +Inf
            demo_ratio{of="down"} -Inf
            demo_ratio{of="tiny"} 1.5e-07
            # TYPE demo_build info
            # HELP demo_build About the build.
            demo_build_info{version="1.2.3"} 1
            # TYPE demo_duration_seconds histogram
            # UNIT demo_duration_seconds seconds
            demo_duration_seconds_bucket{kind="missing",le="1e-06"} 1
            demo_duration_seconds_bucket{kind="missing",le="0.001"} 1
            demo_duration_seconds_bucket{kind="missing",le="1.0"} 3
            demo_duration_seconds_bucket{kind="missing",le="10.0"} 3
            demo_duration_seconds_bucket{kind="missing",le="+Inf"} 4
            demo_duration_seconds_sum{kind="missing"} 21.500001
            demo_duration_seconds_count{kind="missing"} 4
            # EOF

            """,
            await ScrapeAsync(ExpositionFormat.OpenMetrics));
    }

    [Fact]
    public async Task Bounds_belong_to_the_bucket_below_them()
    {
        var histogram = _meter.CreateHistogram<double>("demo_duration_seconds", "s");
        foreach (double value in new[] { 0, 1e-6, 1.1e-6, 0.001, 0.0010001, 1, 10, 10.5 })
        {
            histogram.Record(value);
        }

        string text = await ScrapeAsync(ExpositionFormat.PrometheusText);
        int[] counts = [.. text.Split('\n').Where(l => l.Contains("_bucket", StringComparison.Ordinal)).Select(l => int.Parse(l.Split(' ')[1]))];
        Assert.Equal([2, 4, 6, 7, 8], counts);
    }

    [Fact]
    public async Task Nothing_to_tell_is_an_empty_text_or_a_lone_end_marker()
    {
        Assert.Equal("", await ScrapeAsync(ExpositionFormat.PrometheusText));
        Assert.Equal("# EOF\n", await ScrapeAsync(ExpositionFormat.OpenMetrics));
    }

    [Fact]
    public async Task Concurrent_scrapes_get_whole_answers_each_in_its_own_format()
    {
        Feed();
        string[] expected = [await ScrapeAsync(ExpositionFormat.PrometheusText), await ScrapeAsync(ExpositionFormat.OpenMetrics)];
        string[] answers = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(() => ScrapeAsync((ExpositionFormat)(i % 2)))));
        Assert.All(answers.Select((text, i) => (text, i)), a => Assert.Equal(expected[a.i % 2], a.text));
    }

    [Fact]
    public async Task Flush_of_the_provider_does_not_collect()
    {
        int collections = 0;
        _meter.CreateObservableGauge("demo_collections", () => ++collections);
        _provider.ForceFlush();
        Assert.Equal(0, collections);
        Assert.Contains("demo_collections 1\n", await ScrapeAsync(ExpositionFormat.PrometheusText), StringComparison.Ordinal);
    }

    private void Feed()
    {
        var faults = _meter.CreateCounter<long>("demo_faults_total", "{fault}", "Page faults, by \"kind\".");
        faults.Add(42, new("tenant", "a"), new("kind", "missing"));
        faults.Add(0, new("tenant", "b \"\\\n"), new("kind", "minor"));
        _meter.CreateObservableCounter("demo_busy_seconds_total", () => 0.25, "s", "Time spent.");
        _meter.CreateUpDownCounter<long>("demo_sessions", "{session}", "Live sessions.").Add(-3, new KeyValuePair<string, object?>("tenant", "a"));
        _meter.CreateObservableGauge<double>(
            "demo_ratio",
            () =>
            [
                new(double.NaN, new KeyValuePair<string, object?>("of", "nan")),
                new(double.PositiveInfinity, new KeyValuePair<string, object?>("of", "up")),
                new(double.NegativeInfinity, new KeyValuePair<string, object?>("of", "down")),
                new(1.5e-7, new KeyValuePair<string, object?>("of", "tiny"), new("empty", "")),
            ],
            unit: null,
            "Odd \\ numbers.");
        _meter.CreateObservableGauge<long>(
            "demo_build_info", () => [new(1, new KeyValuePair<string, object?>("version", "1.2.3"))], unit: null, "About the build.");
        var histogram = _meter.CreateHistogram<double>("demo_duration_seconds", "s");
        foreach (double value in new[] { 1e-6, 0.5, 1, 20 })
        {
            histogram.Record(value, new KeyValuePair<string, object?>("kind", "missing"));
        }
    }

    private async Task<string> ScrapeAsync(ExpositionFormat format) =>
        Encoding.UTF8.GetString(await _scraper.ScrapeAsync(format, CancellationToken.None));
}
