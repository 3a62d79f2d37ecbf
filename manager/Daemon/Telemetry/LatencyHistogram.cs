namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// A log-linear histogram of nanoseconds: every power of two is cut into 64 equal parts, so that a percentile is at most
/// 1/64 above the true value at 16 KiB a histogram. One thread adds; any thread reads, without a lock: a reader may see a
/// sample in its bucket before or after the others of its batch, which moves a percentile by no more than that batch.
/// </summary>
internal sealed class LatencyHistogram
{
    private const int SubBits = 6;
    private const int Buckets = (LogBuckets.TopBit - SubBits + 1) << SubBits;

    private readonly long[] _counts = new long[Buckets];

    /// <summary>Counts one sample. Single writer.</summary>
    public void Add(long nanoseconds)
    {
        ref long count = ref _counts[Index(nanoseconds)];
        Volatile.Write(ref count, count + 1);
    }

    /// <summary>The percentiles of all samples so far.</summary>
    public ServiceTimes Read()
    {
        Span<long> counts = stackalloc long[Buckets];
        long total = 0;
        for (int i = 0; i < Buckets; i++)
        {
            total += counts[i] = Volatile.Read(ref _counts[i]);
        }

        return total == 0
            ? default
            : new(total, Percentile(counts, total, 0.5), Percentile(counts, total, 0.9), Percentile(counts, total, 0.99), Percentile(counts, total, 0.999));
    }

    /// <summary>The bucket of a sample: below 64 ns the value itself, above its exponent and the six bits behind the leading one.</summary>
    internal static int Index(long nanoseconds) => LogBuckets.Index(nanoseconds, SubBits);

    /// <summary>The greatest value that falls into a bucket, nanoseconds.</summary>
    internal static long UpperBound(int index) => LogBuckets.UpperBound(index, SubBits);

    private static long Percentile(ReadOnlySpan<long> counts, long total, double fraction) => LogBuckets.Percentile(counts, total, fraction, SubBits);
}
