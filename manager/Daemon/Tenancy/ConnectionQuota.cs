namespace UffdManager.Daemon.Tenancy;

/// <summary>
/// Counts the connections of one tenant. The count belongs to the tenant's name and so survives a reload; the limit is
/// the one of the configuration under which a peer asks.
/// </summary>
public sealed class ConnectionQuota
{
    private int _open;

    /// <summary>Connections open now.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Takes one place. Dispose the result, once, when the connection is closed.</summary>
    /// <param name="limit">Places there are.</param>
    /// <returns>The place, or null if all are taken.</returns>
    public IDisposable? TryEnter(int limit)
    {
        if (Interlocked.Increment(ref _open) <= limit)
            return new Place(this);

        Interlocked.Decrement(ref _open);
        return null;
    }

    private sealed class Place(ConnectionQuota quota) : IDisposable
    {
        private ConnectionQuota? _quota = quota;

        public void Dispose()
        {
            // A second Dispose must not give back somebody else's place.
            ConnectionQuota? held = Interlocked.Exchange(ref _quota, null);
            if (held is not null)
                Interlocked.Decrement(ref held._open);
        }
    }
}
