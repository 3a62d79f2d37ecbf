namespace UffdManager.Engine.Policies;

/// <summary>
/// What a tenant holds right now. One object per tenant name for the life of the engine, shared by all versions of the tenant that
/// configuration reloads make. Written with interlocked operations by every fault loop.
/// </summary>
public sealed class TenantUsage
{
    private long _sessions;
    private long _regions;
    private long _registeredBytes;
    private long _pagesInFlight;
    private long _fetches;
    private long _fetchesEnded;
    private long _pageTableBytes;

    internal RateLimiter Faults { get; } = new();

    internal RateLimiter CopiedBytes { get; } = new();

    /// <summary>Of the logs of what the tenant's runs touch.</summary>
    internal State.MemoryGauge TouchBytes { get; } = new();

    /// <summary>Sessions at this moment.</summary>
    public long Sessions => Volatile.Read(ref _sessions);

    /// <summary>Regions at this moment.</summary>
    public long Regions => Volatile.Read(ref _regions);

    /// <summary>Registered bytes at this moment.</summary>
    public long RegisteredBytes => Volatile.Read(ref _registeredBytes);

    /// <summary>Pages being fetched at this moment.</summary>
    public long PagesInFlight => Volatile.Read(ref _pagesInFlight);

    /// <summary>Fetches queued or running at this moment.</summary>
    public long Fetches => Volatile.Read(ref _fetches);

    /// <summary>Native bytes of the page tables of the tenant's sessions.</summary>
    public long PageTableBytes => Volatile.Read(ref _pageTableBytes);

    /// <summary>How many fetches have given back their place so far.</summary>
    internal long FetchesEnded => Volatile.Read(ref _fetchesEnded);

    internal long AddPageTable(long bytes) => Interlocked.Add(ref _pageTableBytes, bytes);

    internal bool TryAddSession(long limit) => TryAdd(ref _sessions, 1, limit);

    internal void AddSession() => Interlocked.Increment(ref _sessions);

    internal void RemoveSession() => Interlocked.Decrement(ref _sessions);

    internal bool TryAddRegion(long limit) => TryAdd(ref _regions, 1, limit);

    internal bool TryAddRegisteredBytes(long bytes, long limit) => TryAdd(ref _registeredBytes, bytes, limit);

    // Events of the kernel (fork, remap, split by an unmap) change the map whether a limit allows it or not.
    internal void ForceRegions(long regions, long bytes)
    {
        Interlocked.Add(ref _regions, regions);
        Interlocked.Add(ref _registeredBytes, bytes);
    }

    internal bool TryAddFetch(int pages, int pageLimit, int fetchLimit)
    {
        if (!TryAdd(ref _fetches, 1, fetchLimit))
        {
            return false;
        }

        // A single window larger than the limit must still be possible when nothing else is in flight.
        if (TryAdd(ref _pagesInFlight, pages, Math.Max(pageLimit, pages)))
        {
            return true;
        }

        Interlocked.Decrement(ref _fetches);
        return false;
    }

    /// <summary>Of what a tenant may have on its way, the part that may be taken before anybody waits for it: the rest is for faults alone.</summary>
    internal static int AheadOf(int limit) => Math.Max(1, limit / 2);

    /// <summary>Like <see cref="TryAddFetch"/>, for pages that nobody waits for.</summary>
    internal bool TryAddFetchAhead(int pages, TenantLimits limits) => TryAddFetch(pages, AheadOf(limits.PagesInFlight), AheadOf(limits.FetchQueueDepth));

    internal void RemoveFetch(int pages)
    {
        Interlocked.Add(ref _pagesInFlight, -pages);
        Interlocked.Decrement(ref _fetches);
        Interlocked.Increment(ref _fetchesEnded);
    }

    /// <summary>Gives back a part of what a fetch has in flight.</summary>
    internal void RemovePagesInFlight(int pages) => Interlocked.Add(ref _pagesInFlight, -pages);

    private static bool TryAdd(ref long counter, long amount, long limit)
    {
        if (Interlocked.Add(ref counter, amount) <= limit)
        {
            return true;
        }

        Interlocked.Add(ref counter, -amount);
        return false;
    }
}
