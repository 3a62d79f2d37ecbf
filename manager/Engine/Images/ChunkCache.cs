using System.Diagnostics.CodeAnalysis;
using UffdManager.Engine.Policies;

namespace UffdManager.Engine.Images;

/// <summary>
/// Which chunks of which images stay in memory: a limit for all together, and one for each tenant. A chunk is charged to the tenant who was the first to want
/// it, and serves all. A tenant at its limit gives up chunks of its own; where the whole is full, the one who has most does. Any thread.
/// </summary>
public sealed class ChunkCache
{
    /// <summary>Limit of a cache that nobody configured, bytes.</summary>
    public const long DefaultLimit = 1L << 30;

    // For one chunk's room. Every fetch thread of every tenant waits for the lock meanwhile; who finds none reads past the cache.
    private const int MaximumLooks = 128;

    // Guards the fields below; no memory is given back and no file read under it.
    private readonly Lock _lock = new();
    private readonly Dictionary<TenantUsage, CacheAccount> _accounts = [];
    private readonly List<CacheAccount> _numbered = [];
    private readonly HashSet<LayeredSource> _sources = [];
    private readonly long _limit;
    private long _bytes;
    private long _closedHits;
    private long _bypasses;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="limitBytes">What all chunks together may take; 0 caches nothing.</param>
    public ChunkCache(long limitBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(limitBytes);
        _limit = limitBytes;
    }

    /// <summary>What there is at this moment.</summary>
    public CacheReading Read()
    {
        lock (_lock)
        {
            return new CacheReading(
                _limit,
                _bytes,
                _closedHits + _sources.Sum(source => source.Hits),
                _bypasses,
                [.. _accounts.Values.Select(account => new CacheTenantReading(account.Name, account.Bytes, account.Misses, account.Evictions))]);
        }
    }

    internal void Add(LayeredSource source)
    {
        lock (_lock)
        {
            _sources.Add(source);
        }
    }

    /// <summary>Whether so many chunks can be there at once for a payer; if not, to make room for them would empty the cache in vain.</summary>
    internal bool CanHold(Tenant payer, int chunks) => (long)chunks * ChunkStore.ChunkBytes <= Math.Min(_limit, payer.Limits.CacheBytes);

    /// <summary>Counts a read that goes past the cache because it does not fit in.</summary>
    internal void CountBypass()
    {
        lock (_lock)
        {
            _bypasses++;
        }
    }

    /// <summary>Makes room for one chunk.</summary>
    /// <param name="payer">Who is charged.</param>
    /// <param name="mayEvict">Whether others may be given up for it.</param>
    /// <returns>False when there is none: what could be given up is in use, as far as was looked.</returns>
    internal bool TryReserve(Tenant payer, bool mayEvict)
    {
        List<CachedChunk>? victims = null;
        bool isReserved = false;
        int looks = MaximumLooks;
        lock (_lock)
        {
            CacheAccount account = AccountOf(payer);
            while (!isReserved)
            {
                if (!IsOver(account, payer.Limits.CacheBytes, out CacheAccount? over))
                {
                    account.Bytes += ChunkStore.ChunkBytes;
                    _bytes += ChunkStore.ChunkBytes;
                    isReserved = true;
                }
                else if (mayEvict && over.TryTakeVictim(ref looks, out CachedChunk victim))
                {
                    over.Bytes -= ChunkStore.ChunkBytes;
                    over.Evictions++;
                    _bytes -= ChunkStore.ChunkBytes;
                    if (victim.Source.TryAddReference())
                    {
                        (victims ??= []).Add(victim);
                    }
                }
                else
                {
                    _bypasses += mayEvict ? 1 : 0;
                    break;
                }
            }
        }

        foreach (CachedChunk victim in victims ?? [])
        {
            victim.Source.Store.EndEvict(victim.Chunk);
            victim.Source.Dispose();
        }

        return isReserved;
    }

    /// <summary>Gives room back that was not filled.</summary>
    internal void Return(Tenant payer)
    {
        lock (_lock)
        {
            AccountOf(payer).Bytes -= ChunkStore.ChunkBytes;
            _bytes -= ChunkStore.ChunkBytes;
        }
    }

    /// <summary>The room that was made is filled.</summary>
    internal void Enter(Tenant payer, CachedChunk chunk)
    {
        lock (_lock)
        {
            CacheAccount account = AccountOf(payer);
            account.Enter(chunk);
            chunk.Source.Store.Account(chunk.Chunk) = account.Number;
        }
    }

    /// <summary>Gives a chunk up that somebody else has in memory. Not one that is in use, or not there.</summary>
    internal void GiveUp(CachedChunk chunk)
    {
        ChunkStore store = chunk.Source.Store;
        lock (_lock)
        {
            // A chunk is pinned from before it is filled until after it was entered, so that what is claimed here has an account.
            int number = store.Account(chunk.Chunk);
            if (number == 0 || !store.TryBeginEvict(chunk.Chunk))
            {
                return;
            }

            CacheAccount account = _numbered[number - 1];
            account.GiveUp(chunk);
            account.Bytes -= ChunkStore.ChunkBytes;
            _bytes -= ChunkStore.ChunkBytes;
        }

        store.EndEvict(chunk.Chunk);
    }

    /// <summary>A source is being closed; its memory goes with it.</summary>
    internal void Forget(LayeredSource source)
    {
        lock (_lock)
        {
            _closedHits += _sources.Remove(source) ? source.Hits : 0;
            foreach (CacheAccount account in _accounts.Values)
            {
                long bytes = (long)account.Forget(source) * ChunkStore.ChunkBytes;
                account.Bytes -= bytes;
                _bytes -= bytes;
            }
        }
    }

    private CacheAccount AccountOf(Tenant payer)
    {
        if (!_accounts.TryGetValue(payer.Usage, out CacheAccount? account))
        {
            account = new CacheAccount(payer.Name, (ushort)(_numbered.Count < ushort.MaxValue ? _numbered.Count + 1 : 0));
            _accounts.Add(payer.Usage, account);
            if (account.Number != 0)
            {
                _numbered.Add(account);
            }
        }

        return account;
    }

    // Who must give something up before one more chunk fits.
    private bool IsOver(CacheAccount account, long accountLimit, [NotNullWhen(true)] out CacheAccount? over)
    {
        over = account.Bytes + ChunkStore.ChunkBytes > accountLimit ? account
            : _bytes + ChunkStore.ChunkBytes > _limit ? _accounts.Values.MaxBy(other => other.Bytes)
            : null;
        return over is not null;
    }
}
