using System.Collections.Concurrent;
using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>
/// Which pieces of a file mapping were seen to be in memory, and mapped, a moment ago, so that UFFDIO_COPY may take pages straight out of
/// the mapping without a chance worth naming of waiting for a disk.
/// </summary>
/// <remarks>
/// A fault loop asks for warming when a piece is cold, or about to be, and was wanted a few times; a thread of the pool looks (mincore) and
/// maps (MADV_POPULATE_READ) what is cached anyway. Pages that were just mapped are the last that reclaim takes, so the promise is kept
/// short instead of exact; when it is over the loop looks itself (mincore), page by page. Should it be broken all the same, one fault waits for one page of the disk, as in any mapping.
/// </remarks>
internal sealed class WarmChunks : IThreadPoolWorkItem
{
    public const int ChunkBytes = 1024 * 1024;

    private const long PromiseNanoseconds = 2_000_000_000;
    private const long RenewNanoseconds = 1_000_000_000;

    // A read of a page from the cache costs the loop a microsecond more than a warm one; to have a piece warmed costs it the waking of a thread,
    // and that thread some thirty more. So a piece is worth it that goes on being wanted, and one of which a VM touches a few pages as it starts is not.
    private const int WantedFrom = 32;

    // Of what is mapped a look costs a quarter of a microsecond, and to have the promise renewed fifty: so often must it be wanted within the time of one.
    private const int RenewedFrom = 200;

    // A cold piece is looked at again after this time.
    private const long AskAgainNanoseconds = 100_000_000;

    private readonly nuint _mapping;
    private readonly ulong _mappedBytes;
    private readonly long[] _warmedAt;
    private readonly long[] _askedAt;

    // How often a piece was wanted that is not warm, or not for long, since it was asked for. Loops may lose each other's counts: it is a hint.
    private readonly byte[] _misses;

    // Since when, of what is mapped.
    private readonly long[] _countedSince;
    private readonly ConcurrentQueue<int> _wanted = new();
    private readonly PageSource _owner;
    private int _running;

    public WarmChunks(PageSource owner, nuint mapping, ulong mappedBytes)
    {
        _owner = owner;
        _mapping = mapping;
        _mappedBytes = mappedBytes;
        _warmedAt = new long[(mappedBytes + ChunkBytes - 1) / ChunkBytes];
        _askedAt = new long[_warmedAt.Length];
        _misses = new byte[_warmedAt.Length];
        _countedSince = new long[_warmedAt.Length];
    }

    /// <summary>Whether the pieces under a range are promised to be in memory; asks for them to be warmed if not, or not for long.</summary>
    public bool IsWarm(long offset, int length, long now)
    {
        bool warm = true;
        bool mapped = true;
        for (int chunk = (int)(offset / ChunkBytes); chunk <= (int)((offset + length - 1) / ChunkBytes); chunk++)
        {
            long warmedAt = Volatile.Read(ref _warmedAt[chunk]);
            warm &= warmedAt != 0 && now - warmedAt < PromiseNanoseconds;
            mapped &= warmedAt != 0;
            if (warmedAt == 0 || now - warmedAt >= RenewNanoseconds)
            {
                Miss(chunk, warmedAt != 0, now);
            }
        }

        return warm || (mapped && IsStillMapped(offset, length));
    }

    /// <inheritdoc/>
    public void Execute()
    {
        do
        {
            while (_wanted.TryDequeue(out int chunk))
            {
                Warm(chunk);
            }

            // A full fence: the look at the queue must not come before.
            Interlocked.Exchange(ref _running, 0);
        }
        while (!_wanted.IsEmpty && Interlocked.Exchange(ref _running, 1) == 0);

        _owner.Dispose();
    }

    // The promise is over, but what was mapped once mostly is so still: to ask costs a quarter of a read. A page that is not in memory any more was taken by
    // reclaim, and others of its piece with it.
    private bool IsStillMapped(long offset, int length)
    {
        if (NativePages.IsResident(_mapping + (nuint)offset, length))
        {
            return true;
        }

        for (int chunk = (int)(offset / ChunkBytes); chunk <= (int)((offset + length - 1) / ChunkBytes); chunk++)
        {
            Volatile.Write(ref _warmedAt[chunk], 0);
        }

        return false;
    }

    private void Miss(int chunk, bool isMapped, long now)
    {
        if (isMapped && now - _countedSince[chunk] >= PromiseNanoseconds)
        {
            _countedSince[chunk] = now;
            _misses[chunk] = 0;
        }

        int enough = isMapped ? RenewedFrom : WantedFrom;
        if (++_misses[chunk] >= enough)
        {
            _misses[chunk] = (byte)enough;
            Ask(chunk, now);
        }
    }

    private void Ask(int chunk, long now)
    {
        long askedAt = Volatile.Read(ref _askedAt[chunk]);
        bool mine = (askedAt == 0 || now - askedAt >= AskAgainNanoseconds)
            && Interlocked.CompareExchange(ref _askedAt[chunk], now, askedAt) == askedAt;
        if (!mine)
        {
            return;
        }

        _misses[chunk] = 0;
        _wanted.Enqueue(chunk);
        if (Interlocked.Exchange(ref _running, 1) == 0)
        {
            // The mapping must outlive the work.
            _owner.AddReference();
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void Warm(int chunk)
    {
        nuint address = _mapping + ((nuint)chunk * ChunkBytes);
        int bytes = (int)Math.Min(ChunkBytes, _mappedBytes - ((ulong)chunk * ChunkBytes));
        if (NativePages.IsResident(address, bytes) && NativePages.Advise(address, (ulong)bytes, MemoryAdvice.PopulateRead) == Errno.OK)
        {
            Volatile.Write(ref _warmedAt[chunk], MonotonicClock.NowNanoseconds);
        }
    }
}
