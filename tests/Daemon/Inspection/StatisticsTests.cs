using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Tests.Telemetry;
using UffdManager.Engine.Telemetry;
using Xunit;

namespace UffdManager.Daemon.Tests.Inspection;

public sealed class StatisticsTests
{
    [Fact]
    public void Coarse_bucket_is_at_most_an_eighth_above_its_values()
    {
        foreach (long value in Enumerable.Range(0, 37).SelectMany(bit => new[] { 1L << bit, (1L << bit) + 1, (1L << bit) * 3 / 2, (2L << bit) - 1 }).Append(0).Where(value => value < 1L << 37))
            Assert.InRange(CoarseHistogram.UpperBound(CoarseHistogram.Index(value)), value, value + (value / 8));
    }

    [Fact]
    public void Coarse_buckets_are_adjacent_and_the_last_takes_the_rest()
    {
        for (int i = 0; i < CoarseHistogram.Buckets - 1; i++)
        {
            Assert.Equal(i, CoarseHistogram.Index(CoarseHistogram.UpperBound(i)));
            Assert.Equal(i + 1, CoarseHistogram.Index(CoarseHistogram.UpperBound(i) + 1));
        }

        Assert.Equal(CoarseHistogram.Buckets - 1, CoarseHistogram.Index(long.MaxValue));
        Assert.Equal(0, CoarseHistogram.Index(-1));
    }

    [Fact]
    public void Percentiles_are_those_of_the_samples()
    {
        CoarseHistogram histogram = new();
        for (int i = 1; i <= 1000; i++)
            histogram.Add(i * 1000);
        uint[] counts = new uint[CoarseHistogram.Buckets];
        histogram.CopyTo(counts);
        Assert.Equal(1000, CoarseHistogram.Total(counts));
        Assert.InRange(CoarseHistogram.Percentile(counts, 1000, 0.5), 500_000, 562_500);
        Assert.InRange(CoarseHistogram.Percentile(counts, 1000, 0.99), 990_000, 1_113_750);
        Assert.Equal(0, CoarseHistogram.Percentile(new uint[CoarseHistogram.Buckets], 0, 0.5));
    }

    [Fact]
    public void Slots_keep_ten_minutes_and_forget_what_is_older()
    {
        LatencySlots slots = new();
        long slot = (long)LatencySlots.SlotLength.TotalNanoseconds;
        slots.Add(7 * slot, 1000);
        slots.Add((7 * slot) + 1, 1001);
        Assert.Equal((1, 1), (CountsOf(slots, 7)[0], CountsOf(slots, 7)[1]));

        slots.Add((7 + LatencySlots.Slots) * slot, long.MaxValue);
        Assert.Equal(0, CountsOf(slots, 7).Sum());
        Assert.Equal(1, CountsOf(slots, 7 + LatencySlots.Slots)[^1]);

        // What comes late must not wipe out what is newer.
        slots.Add(7 * slot, 1000);
        Assert.Equal(1, CountsOf(slots, 7 + LatencySlots.Slots).Sum());
    }

    [Fact]
    public void Samples_are_counted_by_session_and_tenant()
    {
        FaultStatistics statistics = new(new TestEngine { TenantNames = { "a", "b", "a" } });
        statistics.OnSamples([Sample(1, tenant: 0), Sample(2, tenant: 1), Sample(1, tenant: 2)]);
        Assert.Equal((2, 1), (Count(statistics.OfSession(1)), Count(statistics.OfSession(2))));
        Assert.Equal((2, 1), (Count(statistics.OfTenant("a")), Count(statistics.OfTenant("b"))));
        Assert.Equal((2, 3), (statistics.History("a", last: 0).Sum(slot => slot.Sum()), statistics.History(null, last: 0).Sum(slot => slot.Sum())));
    }

    [Fact]
    public void Session_table_is_bounded_and_swept_of_those_that_are_over()
    {
        FaultStatistics statistics = new(new TestEngine { TenantNames = { "a" } });
        statistics.OnSamples([.. Enumerable.Range(1, FaultStatistics.MaximumSessions + 10).Select(id => Sample((uint)id, tenant: 0))]);
        Assert.False(statistics.HasRoom);
        Assert.Null(statistics.OfSession(FaultStatistics.MaximumSessions + 1));
        Assert.NotNull(statistics.OfSession(FaultStatistics.MaximumSessions));

        statistics.Sweep([5]);
        Assert.True(statistics.HasRoom);
        Assert.Equal((1, 0), (Count(statistics.OfSession(5)), Count(statistics.OfSession(6))));
    }

    private static long[] CountsOf(LatencySlots slots, long number)
    {
        long[] counts = new long[LatencySlots.Boundaries.Length + 1];
        slots.AddTo(number, counts);
        return counts;
    }

    private static long Count(CoarseHistogram? histogram)
    {
        uint[] counts = new uint[CoarseHistogram.Buckets];
        histogram?.CopyTo(counts);
        return CoarseHistogram.Total(counts);
    }

    private static FaultSample Sample(uint session, int tenant) => new() { Session = session, Tenant = tenant, DurationNanoseconds = 1000, EndedAt = 1 };
}
