using UffdManager.Daemon.Telemetry;

namespace UffdManager.Daemon.Inspection;

/// <summary>
/// A histogram of nanoseconds that is small enough to have one for each session: every power of two is cut into 8 equal parts, so that a percentile is at
/// most 12.5 % above the true value at 1.1 KiB. One thread adds; any thread copies, and may miss what is just being added.
/// </summary>
internal sealed class CoarseHistogram
{
    private const int SubBits = 3;

    /// <summary>Length of a copy.</summary>
    public const int Buckets = (LogBuckets.TopBit - SubBits + 1) << SubBits;

    // Wraps after four thousand million faults in one bucket: differences stay right, a percentile over the whole life of a session does not.
    private readonly uint[] _counts = new uint[Buckets];

    /// <summary>Counts one sample. Single writer.</summary>
    public void Add(long nanoseconds)
    {
        ref uint count = ref _counts[Index(nanoseconds)];
        Volatile.Write(ref count, count + 1);
    }

    /// <summary>Copies the counts; <see cref="Buckets"/> of them.</summary>
    public void CopyTo(Span<uint> counts)
    {
        for (int i = 0; i < Buckets; i++)
            counts[i] = Volatile.Read(ref _counts[i]);
    }

    /// <summary>How many samples a copy has.</summary>
    public static long Total(ReadOnlySpan<uint> counts)
    {
        long total = 0;
        foreach (uint count in counts)
            total += count;
        return total;
    }

    /// <summary>The greatest value of the bucket in which a percentile lies, nanoseconds; 0 without samples.</summary>
    /// <param name="counts">A copy, or the difference of two.</param>
    /// <param name="total">As <see cref="Total"/> says.</param>
    /// <param name="fraction">0 to 1.</param>
    public static long Percentile(ReadOnlySpan<uint> counts, long total, double fraction) => LogBuckets.Percentile(counts, total, fraction, SubBits);

    /// <summary>The bucket that a value falls into.</summary>
    internal static int Index(long nanoseconds) => LogBuckets.Index(nanoseconds, SubBits);

    /// <summary>The greatest value that falls into a bucket, nanoseconds.</summary>
    internal static long UpperBound(int index) => LogBuckets.UpperBound(index, SubBits);
}
