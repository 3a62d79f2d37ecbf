using System.Numerics;

namespace UffdManager.Daemon.Telemetry;

/// <summary>
/// Buckets of log-linear histograms of nanoseconds: every power of two is cut into 2^subBits equal parts, so that a percentile is at most one of them above the true
/// value. Below 2^subBits each value has a bucket of its own; samples from 2^37 ns (137 s) on, far above any fault's deadline, share the last one.
/// </summary>
internal static class LogBuckets
{
    /// <summary>Samples from 2 to this power on share the last bucket.</summary>
    public const int TopBit = 37;

    /// <summary>The bucket of a sample; what is below 0 counts as 0.</summary>
    /// <param name="nanoseconds">The sample.</param>
    /// <param name="subBits">1 to 30.</param>
    public static int Index(long nanoseconds, int subBits)
    {
        if (nanoseconds < 1 << subBits)
            return (int)Math.Max(0, nanoseconds);

        int exponent = BitOperations.Log2((ulong)nanoseconds);
        return exponent >= TopBit
            ? ((TopBit - subBits + 1) << subBits) - 1
            : ((exponent - subBits) << subBits) + (int)(nanoseconds >> (exponent - subBits));
    }

    /// <summary>The greatest value that falls into a bucket, nanoseconds.</summary>
    public static long UpperBound(int index, int subBits)
    {
        int sub = 1 << subBits;
        if (index < sub)
            return index;

        int shift = (index >> subBits) - 1;
        return ((long)((index & (sub - 1)) + sub + 1) << shift) - 1;
    }

    /// <summary>The greatest value of the bucket in which a percentile lies, nanoseconds; 0 without samples.</summary>
    /// <param name="counts">Samples in each bucket.</param>
    /// <param name="total">Their sum.</param>
    /// <param name="fraction">0 to 1.</param>
    /// <param name="subBits">1 to 30.</param>
    public static long Percentile<T>(ReadOnlySpan<T> counts, long total, double fraction, int subBits)
        where T : IBinaryInteger<T>
    {
        if (total == 0)
            return 0;

        long rank = Math.Max(1, (long)Math.Ceiling(total * fraction));
        long seen = 0;
        int index = -1;
        while (seen < rank)
            seen += long.CreateTruncating(counts[++index]);
        return UpperBound(index, subBits);
    }
}
