namespace UffdManager.Daemon.Hosting;

/// <summary>
/// Keeps one client from filling the log: a few lines at once, then one in a while, counted per subject. Subjects are a kind of message and
/// a tenant, so their number is bounded by the configuration.
/// </summary>
/// <param name="burst">Lines that may come at once.</param>
/// <param name="refill">Time after which one more line may come.</param>
/// <param name="time">The clock.</param>
internal sealed class LogThrottle(int burst, TimeSpan refill, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(Type Kind, string Tenant), Bucket> _buckets = [];

    /// <summary>For messages about trouble: ten lines at once, then ten a minute.</summary>
    public LogThrottle(TimeProvider time)
        : this(burst: 10, refill: TimeSpan.FromSeconds(6), time)
    {
    }

    /// <summary>Asks whether a line may be written now.</summary>
    /// <param name="kind">Kind of message.</param>
    /// <param name="tenant">Whom it is about.</param>
    /// <param name="suppressed">How many lines of this subject were kept back since the last one that was written.</param>
    public bool TryEnter(Type kind, string tenant, out long suppressed)
    {
        lock (_gate)
        {
            if (!_buckets.TryGetValue((kind, tenant), out Bucket? bucket))
                _buckets.Add((kind, tenant), bucket = new Bucket { Left = burst, Since = time.GetTimestamp() });

            long refilled = time.GetElapsedTime(bucket.Since).Ticks / refill.Ticks;
            if (refilled > 0)
            {
                bucket.Left = (int)Math.Min(burst, bucket.Left + refilled);
                bucket.Since = time.GetTimestamp();
            }

            if (bucket.Left == 0)
            {
                bucket.Suppressed++;
                suppressed = 0;
                return false;
            }

            bucket.Left--;
            (suppressed, bucket.Suppressed) = (bucket.Suppressed, 0);
            return true;
        }
    }

    private sealed class Bucket
    {
        public int Left { get; set; }

        public long Since { get; set; }

        public long Suppressed { get; set; }
    }
}
