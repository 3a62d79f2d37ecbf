using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <content>Bringing chunks into the cache, on fetch threads.</content>
public sealed partial class LayeredSource
{
    private const int WarmPiece = 1024 * 1024;

    // Who is charged where nobody asked: what an operator warms up. No tenant of a configuration can have the name.
    private static readonly Tenant s_nobody = new("(none)", 1, new TenantLimits { CacheBytes = long.MaxValue });

    /// <summary>
    /// Reads a part of the image into the cache, charged to no tenant, as far as there is room without giving anything else up. Waits for the disk.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; what lies beyond the end of the image is left out.</param>
    /// <param name="progress">Told the first byte that is not done yet, after each piece; false stops.</param>
    /// <returns>OK also when it was stopped; ENOSPC when the cache is full; or why a file cannot be read.</returns>
    public Errno Warm(long offset, long length, Func<long, bool> progress)
    {
        ArgumentNullException.ThrowIfNull(progress);
        if (TrySearch() is var searched and not Errno.OK)
        {
            return searched;
        }

        long end = Math.Min(_end, length > _end - offset ? _end : offset + length);
        long at = (long)PageSize.AlignDown((ulong)offset, ChunkStore.ChunkBytes);
        while (at < end)
        {
            long stop = Math.Min(at + WarmPiece, end);
            for (; at < stop; at += ChunkStore.ChunkBytes)
            {
                int chunk = ChunkStore.ChunkOf(at);
                if (Store.IsAllZero(chunk) || Store.IsFilled(chunk) || IsInObject(chunk))
                {
                    continue;
                }

                int count = 1;
                while (at + ((long)count * ChunkStore.ChunkBytes) < stop && !Store.IsAllZero(chunk + count) && !Store.IsFilled(chunk + count))
                {
                    count++;
                }

                Errno errno = Obtain(s_nobody, chunk, count, mayEvict: false, out int brought);
                if (errno != Errno.OK)
                {
                    Store.Unpin(chunk, brought);
                    return errno == Errno.ENOMEM ? Errno.ENOSPC : errno;
                }

                Store.Unpin(chunk, count);
                at += (long)(count - 1) * ChunkStore.ChunkBytes;
            }

            if (!progress(Math.Min(at, end)))
            {
                return Errno.OK;
            }
        }

        return Errno.OK;
    }

    /// <summary>Bytes of the image that are in the cache now.</summary>
    public long CachedBytes()
    {
        long chunks = 0;
        for (int chunk = 0; _contents is not null && ChunkStore.OffsetOf(chunk) < _end; chunk++)
        {
            chunks += Store.IsFilled(chunk) ? 1 : 0;
        }

        return chunks * ChunkStore.ChunkBytes;
    }

    // Pins chunks, and reads those that are not there. When it fails the leading ones that could be had stay pinned. ENOMEM: the cache cannot take them.
    private Errno Obtain(Tenant payer, int first, int count, bool mayEvict, out int leading)
    {
        leading = 0;
        if (mayEvict && !_cache.CanHold(payer, CountUnfilled(first, count)))
        {
            _cache.CountBypass();
            return Errno.ENOMEM;
        }

        Span<bool> isPinned = stackalloc bool[count];
        Span<bool> isMine = stackalloc bool[count];
        Errno errno = Errno.OK;
        int done = 0;
        while (done < count && errno == Errno.OK)
        {
            // First all that nobody else is at: who waits for others has nothing begun that others wait for.
            for (int i = 0; i < count && errno == Errno.OK; i++)
            {
                int chunk = first + i;
                if (isPinned[i])
                {
                    continue;
                }

                if (Store.TryPin(chunk, 1))
                {
                    Interlocked.Increment(ref _hits);
                    isPinned[i] = true;
                    done++;
                }
                else if (!Store.IsBusy(chunk))
                {
                    errno = TryClaim(payer, chunk, mayEvict, out isMine[i]);
                }
            }

            errno = Fill(payer, first, isMine, errno, isPinned, ref done);
            for (int i = 0; i < count && errno == Errno.OK; i++)
            {
                if (!isPinned[i])
                {
                    Store.WaitWhileBusy(first + i);
                }
            }
        }

        while (leading < count && isPinned[leading])
        {
            leading++;
        }

        for (int i = leading; i < count; i++)
        {
            Store.Unpin(first + i, isPinned[i] ? 1 : 0);
        }

        return errno;
    }

    private int CountUnfilled(int first, int count)
    {
        int unfilled = 0;
        for (int i = 0; i < count; i++)
        {
            unfilled += Store.IsFilled(first + i) ? 0 : 1;
        }

        return unfilled;
    }

    private Errno TryClaim(Tenant payer, int chunk, bool mayEvict, out bool isMine)
    {
        isMine = false;
        if (!_cache.TryReserve(payer, mayEvict))
        {
            return Errno.ENOMEM;
        }

        isMine = Store.TryBeginFill(chunk);
        if (!isMine)
        {
            _cache.Return(payer);
        }

        return Errno.OK;
    }

    // Reads what was claimed, side by side as far as it lies so; gives it up again if something failed before.
    private Errno Fill(Tenant payer, int first, Span<bool> isMine, Errno errno, Span<bool> isPinned, ref int done)
    {
        for (int i = 0; i < isMine.Length;)
        {
            // What an object has is not read again.
            bool isInObject = IsInObject(first + i);
            int run = 0;
            while (i + run < isMine.Length && isMine[i + run] && (run == 0 || IsInObject(first + i + run) == isInObject))
            {
                run++;
            }

            if (run == 0)
            {
                i++;
                continue;
            }

            if (errno == Errno.OK)
            {
                long offset = ChunkStore.OffsetOf(first + i);
                int bytes = (int)Math.Min(run * ChunkStore.ChunkBytes, _end - offset);
                errno = isInObject && TryFillFromObject(offset, bytes) ? Errno.OK : ReadInto(Store.Address + (nuint)offset, offset, bytes, clear: false);

                // The memory for it cannot be had: not the fault of the file, and a fetch has a buffer of its own.
                errno = errno == Errno.EFAULT ? Errno.ENOMEM : errno;
            }

            for (int end = i + run; i < end; i++)
            {
                isMine[i] = false;
                EndFill(payer, first + i, errno == Errno.OK);
                isPinned[i] = errno == Errno.OK;
                done += isPinned[i] ? 1 : 0;
            }
        }

        return errno;
    }

    private void EndFill(Tenant payer, int chunk, bool isFilled)
    {
        Store.EndFill(chunk, isFilled);
        if (isFilled)
        {
            _cache.Enter(payer, new CachedChunk(this, chunk));
        }
        else
        {
            _cache.Return(payer);
        }
    }

    // Puts a range together from the layers. Memory of the cache is zeros where nothing is put; a buffer that was used before is not.
    private Errno ReadInto(nuint target, long offset, int length, bool clear)
    {
        if (_changed is not null)
        {
            return Errno.ESTALE;
        }

        if (clear)
        {
            NativePages.Clear(target, (nuint)length);
        }

        long end = offset + length;
        for (int i = Map.FirstAfter(offset); i < Map.Count && Map[i].Start < end; i++)
        {
            LayerRun run = Map[i];
            long from = Math.Max(run.Start, offset);
            long to = Math.Min(run.End, end);
            Errno errno = _layers[run.Layer].Read(target + (nuint)(from - offset), (int)(to - from), from);
            if (errno != Errno.OK)
            {
                // For good, and only for a file that is known to be another: who begins to be served from other contents half-way is served wrong.
                _changed = errno == Errno.ESTALE ? _layers[run.Layer] : _changed;
                return errno;
            }

            Interlocked.Add(ref _readBytes, to - from);
        }

        return Errno.OK;
    }
}
