using UffdManager.Daemon.Telemetry;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

public class LatencyHistogramTests
{
    [Fact]
    public void Empty_histogram_has_no_percentiles() => Assert.Equal(default, new LatencyHistogram().Read());

    [Fact]
    public void Every_value_falls_into_the_bucket_whose_bound_is_at_most_a_64th_above_it()
    {
        var values = Enumerable.Range(0, 37).SelectMany(bit => new[] { 1L << bit, (1L << bit) + 1, (1L << bit) * 3 / 2, (2L << bit) - 1 })
            .Append(0).Where(v => v < 1L << 37);
        Assert.All(values, value =>
        {
            long bound = LatencyHistogram.UpperBound(LatencyHistogram.Index(value));
            Assert.InRange(bound, value, value + (value / 64));
        });
    }

    [Fact]
    public void Buckets_are_adjacent()
    {
        for (int i = 0; i < 2047; i++)
        {
            Assert.Equal(i, LatencyHistogram.Index(LatencyHistogram.UpperBound(i)));
            Assert.Equal(i + 1, LatencyHistogram.Index(LatencyHistogram.UpperBound(i) + 1));
        }
    }

    [Theory]
    [InlineData(-5, 0)]
    [InlineData(long.MaxValue, 2047)]
    public void Values_out_of_range_share_the_outermost_buckets(long value, int bucket) => Assert.Equal(bucket, LatencyHistogram.Index(value));

    [Fact]
    public void Percentiles_are_those_of_the_samples()
    {
        var histogram = new LatencyHistogram();
        for (int i = 1; i <= 10_000; i++)
        {
            histogram.Add(i * 1000L);
        }

        var times = histogram.Read();
        Assert.Equal(10_000, times.Count);
        Assert.InRange(times.P50, 5_000_000, 5_000_000 * 65 / 64);
        Assert.InRange(times.P90, 9_000_000, 9_000_000 * 65 / 64);
        Assert.InRange(times.P99, 9_900_000, 9_900_000 * 65 / 64);
        Assert.InRange(times.P999, 9_990_000, 9_990_000 * 65L / 64);
    }

    [Fact]
    public void A_single_sample_is_every_percentile()
    {
        var histogram = new LatencyHistogram();
        histogram.Add(42);
        Assert.Equal(new(1, 42, 42, 42, 42), histogram.Read());
    }
}
