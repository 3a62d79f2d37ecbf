namespace UffdManager.Daemon.Hosting;


/// <summary>
/// Keeps one client from filling the log: a few lines at once, then one every <see cref="Refill"/>, counted per subject. Subjects are
/// a kind of message and a tenant, so their number is bounded by the configuration.
/// </summary>
internal sealed class LogThrottle(TimeProvider time)
{
    /// <summary>Lines that may come at once.</summary>
    public const int Burst = 10;

    /// <summary>Time after which one more line may come.</summary>
    public static readonly TimeSpan Refill = TimeSpan.FromSeconds(6);

    private readonly Lock _gate = new();
    private readonly Dictionary<(Type Kind, string Tenant), Bucket> _buckets = [];

    /// <summary>Asks whether a line may be written now.</summary>
    /// <param name="kind">Kind of message.</param>
    /// <param name="tenant">Whom it is about.</param>
    /// <param name="suppressed">How many lines of this subject were kept back since the last one that was written.</param>
    public bool TryEnter(Type kind, string tenant, out long suppressed)
    {
        lock (_gate)
        {
            if (!_buckets.TryGetValue((kind, tenant), out Bucket? bucket))
                _buckets.Add((kind, tenant), bucket = new Bucket { Left = Burst, Since = time.GetTimestamp() });

            long refilled = time.GetElapsedTime(bucket.Since).Ticks / Refill.Ticks;
            if (refilled > 0)
            {
                bucket.Left = (int)Math.Min(Burst, bucket.Left + refilled);
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
