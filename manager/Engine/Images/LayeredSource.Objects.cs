using System.Collections.Concurrent;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <content>Objects that clients map and that show this image: what they have need not be in the cache as well.</content>
/// <remarks>
/// <para>Only sealed ones: others could be written by somebody whom the manager let have a descriptor, and whoever is copied from there need not be of the same tenant.
/// And only chunks of which they have every page: which of its pages a client has touched is not to be told by how fast another one gets them.</para>
/// <para>A chunk that an object has come to have is given up by a thread of the pool. One that is in use just then stays until its turn comes, as any other.</para>
/// </remarks>
public sealed partial class LayeredSource : IThreadPoolWorkItem
{
    private readonly ConcurrentQueue<int> _complete = new();

    // Replaced as a whole.
    private volatile SharedImage[] _objects = [];
    private int _isGivingUp;

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        do
        {
            while (_complete.TryDequeue(out int chunk))
            {
                _cache.GiveUp(new CachedChunk(this, chunk));
            }

            // A full fence: the look at the queue must not come before.
            Interlocked.Exchange(ref _isGivingUp, 0);
        }
        while (!_complete.IsEmpty && Interlocked.Exchange(ref _isGivingUp, 1) == 0);

        Dispose();
    }

    /// <inheritdoc/>
    internal override void Attach(SharedImage image) => Change(objects => [.. objects, image]);

    /// <inheritdoc/>
    internal override void Detach(SharedImage image) => Change(objects => [.. objects.Where(other => other != image)]);

    /// <inheritdoc/>
    internal override void Shared(SharedImage image, long offset)
    {
        if (_contents is not { } contents || offset >= _end || !contents.Store.IsFilled(ChunkStore.ChunkOf(offset)))
        {
            return;
        }

        (long start, long length) = WithChunks(offset, PageSize.Base);
        if (!image.HasAll(start, length))
        {
            return;
        }

        _complete.Enqueue(ChunkStore.ChunkOf(offset));
        if (Interlocked.Exchange(ref _isGivingUp, 1) == 0)
        {
            AddReference();
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void Change(Func<SharedImage[], SharedImage[]> change)
    {
        SharedImage[] seen;
        do
        {
            seen = _objects;
        }
        while (Interlocked.CompareExchange(ref _objects, change(seen), seen) != seen);
    }

    // Pages that lie in memory of an object, which stays until they are released.
    private bool TryGetFromObject(long offset, int length, out SourcePages page)
    {
        page = default;
        SharedImage[] objects = _objects;
        if (objects.Length == 0)
        {
            return false;
        }

        (long start, long bytes) = WithChunks(offset, length);
        foreach (SharedImage image in objects)
        {
            if (!image.TryAddReference())
            {
                continue;
            }

            if (image.HasAll(start, bytes))
            {
                page = new SourcePages(image.AddressOf(offset), length) { Pin = -image.Id };
                return true;
            }

            image.Dispose();
        }

        return false;
    }

    private bool TryHitObject(long offset, int length, out SourcePages page)
    {
        bool isThere = TryGetFromObject(offset, length, out page);
        if (isThere)
        {
            Interlocked.Increment(ref _hits);
        }

        return isThere;
    }

    private void ReleaseObject(long id)
    {
        // Nobody detaches one that there is a reference to.
        foreach (SharedImage image in _objects)
        {
            if (image.Id == id)
            {
                image.Dispose();
                return;
            }
        }
    }

    private bool IsInObject(int chunk)
    {
        bool isThere = TryGetFromObject(ChunkStore.OffsetOf(chunk), PageSize.Base, out SourcePages page);
        Release(in page);
        return isThere;
    }

    // Where a chunk is wanted in the cache all the same, beside others.
    private bool TryFillFromObject(long offset, int length)
    {
        if (!TryGetFromObject(offset, length, out SourcePages page))
        {
            return false;
        }

        Errno errno = NativePages.CopyChecked(Store.Address + (nuint)offset, page.Address, (nuint)length);
        Release(in page);
        return errno == Errno.OK;
    }

    private (long Start, long Length) WithChunks(long offset, long length)
    {
        long start = (long)PageSize.AlignDown((ulong)offset, ChunkStore.ChunkBytes);
        return (start, Math.Min(_end, (long)PageSize.AlignUp((ulong)(offset + length), ChunkStore.ChunkBytes)) - start);
    }
}
