using System.Numerics;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// A log-linear histogram of nanoseconds: every power of two is cut into 64 equal parts, so that a percentile is at most
/// 1/64 above the true value at 16 KiB a histogram. One thread adds; any thread reads, without a lock: a reader may see a
/// sample in its bucket before or after the others of its batch, which moves a percentile by no more than that batch.
/// </summary>
internal sealed class LatencyHistogram
{
    private const int SubBits = 6;
    private const int Sub = 1 << SubBits;

    /// <summary>Samples from 2^37 ns (137 s) on share the last bucket; a fault's deadline is far below.</summary>
    private const int TopBit = 37;
    private const int Buckets = (TopBit - SubBits + 1) * Sub;

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
    internal static int Index(long nanoseconds)
    {
        if (nanoseconds < Sub)
        {
            return (int)Math.Max(0, nanoseconds);
        }

        int exponent = BitOperations.Log2((ulong)nanoseconds);
        return exponent >= TopBit ? Buckets - 1 : ((exponent - SubBits) << SubBits) + (int)(nanoseconds >> (exponent - SubBits));
    }

    /// <summary>The greatest value that falls into a bucket, nanoseconds.</summary>
    internal static long UpperBound(int index)
    {
        if (index < Sub)
        {
            return index;
        }

        int shift = (index >> SubBits) - 1;
        return ((long)((index & (Sub - 1)) + Sub + 1) << shift) - 1;
    }

    private static long Percentile(ReadOnlySpan<long> counts, long total, double fraction)
    {
        long rank = Math.Max(1, (long)Math.Ceiling(total * fraction));
        long seen = 0;
        int index = -1;
        while (seen < rank)
        {
            seen += counts[++index];
        }

        return UpperBound(index);
    }
}
