namespace UffdManager.Engine.Policies;

/// <summary>
/// Generic cell rate algorithm (ITU-T I.371): one 64-bit word, the time at which the bucket would be empty, moved by compare-and-swap,
/// so that all fault loops share one limit without a lock.
/// </summary>
internal sealed class RateLimiter
{
    // A tenth of a second's worth may be spent at once: small enough to be fair, large enough for a fault-around window.
    private const long BurstNanoseconds = 100_000_000;

    private long _emptyAt;

    /// <summary>Takes <paramref name="units"/> if the rate allows it now.</summary>
    /// <param name="units">How many; may exceed the burst, the debt is then paid by the next caller.</param>
    /// <param name="perSecond">The rate; 0 for no limit.</param>
    /// <param name="now">Monotonic clock, nanoseconds.</param>
    /// <param name="readyAt">When to ask again, if refused.</param>
    public bool TryTake(long units, long perSecond, long now, out long readyAt)
    {
        readyAt = 0;
        if (perSecond <= 0)
        {
            return true;
        }

        long cost = (long)(units * (1e9 / perSecond));
        long seen = Volatile.Read(ref _emptyAt);
        while (true)
        {
            long start = Math.Max(seen, now);
            if (start - now > BurstNanoseconds)
            {
                readyAt = start - BurstNanoseconds;
                return false;
            }

            long found = Interlocked.CompareExchange(ref _emptyAt, start + cost, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }
    }

    /// <summary>Takes <paramref name="units"/> whether the rate allows it or not; whoever asks next pays.</summary>
    public void Owe(long units, long perSecond, long now)
    {
        long cost = (long)(units * (1e9 / perSecond));
        long seen = Volatile.Read(ref _emptyAt);
        while (true)
        {
            long found = Interlocked.CompareExchange(ref _emptyAt, Math.Max(seen, now) + cost, seen);
            if (found == seen)
            {
                return;
            }

            seen = found;
        }
    }
}
