namespace UffdManager.Engine.Images;

/// <summary>
/// What one tenant has in the cache, and in which order it would lose it: S3-FIFO (Yang and others, SOSP 2023). Under the lock of the cache.
/// </summary>
/// <remarks>
/// Newcomers enter a small queue, a tenth of the whole; who was wanted more than once on the way to its end moves on to the main queue, whose members go round for as
/// long as they are wanted. Who left the small queue is remembered for a while: if it comes back, it goes to the main queue at once. So a scan over a whole image, which
/// wants each chunk once, passes through the small queue and leaves what clones work with alone.
/// </remarks>
/// <param name="name">Of the tenant.</param>
/// <param name="number">By which chunks know it, from 1; 0 for one that they do not.</param>
internal sealed class CacheAccount(string name, ushort number)
{
    private const int SmallShare = 10;

    private readonly Queue<CachedChunk> _small = new();
    private readonly Queue<CachedChunk> _main = new();
    private readonly Queue<CachedChunk> _leftOrder = new();
    private readonly HashSet<CachedChunk> _left = [];

    // In a queue, and given up before their turn.
    private readonly HashSet<CachedChunk> _givenUp = [];

    public string Name { get; } = name;

    public ushort Number { get; } = number;

    /// <summary>Chunks that are cached, or for which room was made.</summary>
    public long Bytes { get; set; }

    public long Misses { get; set; }

    public long Evictions { get; set; }

    public void Enter(CachedChunk chunk)
    {
        Misses++;
        bool hadLeft = _left.Remove(chunk);

        // One that comes back has its old place in a queue still.
        if (!_givenUp.Remove(chunk))
        {
            (hadLeft ? _main : _small).Enqueue(chunk);
        }
    }

    /// <summary>A chunk that the caller has claimed is given up before its turn.</summary>
    public void GiveUp(CachedChunk chunk) => _givenUp.Add(chunk);

    /// <summary>Takes the chunk out that is wanted least, and claims it (<see cref="ChunkStore.TryBeginEvict"/>).</summary>
    /// <param name="looks">So many chunks may be looked at; less by those that were. The queues go round, so that the next search begins where this one ended.</param>
    /// <param name="victim">What was taken out.</param>
    /// <returns>False when there is none among them: all are in use, or wanted.</returns>
    public bool TryTakeVictim(ref int looks, out CachedChunk victim)
    {
        bool skipSmall = false;
        for (; looks > 0 && _small.Count + _main.Count > 0; looks--)
        {
            bool fromSmall = _small.Count > 0 && (_main.Count == 0 || (!skipSmall && _small.Count * SmallShare >= _small.Count + _main.Count));
            skipSmall = false;
            victim = (fromSmall ? _small : _main).Dequeue();
            if (_givenUp.Remove(victim))
            {
                // Not one that was looked at.
                looks++;
            }
            else if (fromSmall ? victim.Source.Store.TakeTouches(victim.Chunk) > 1 : victim.Source.Store.TakeTouch(victim.Chunk))
            {
                _main.Enqueue(victim);
            }
            else if (!victim.Source.Store.TryBeginEvict(victim.Chunk))
            {
                // Where all newcomers are in use the others have to do.
                (fromSmall ? _small : _main).Enqueue(victim);
                skipSmall = fromSmall;
            }
            else
            {
                looks--;
                if (fromSmall)
                {
                    Remember(victim);
                }

                return true;
            }
        }

        victim = default;
        return false;
    }

    /// <summary>Forgets a source that is being closed; the chunks that it had.</summary>
    public int Forget(LayeredSource source)
    {
        int before = _small.Count + _main.Count - _givenUp.RemoveWhere(chunk => chunk.Source == source);
        Filter(_small, source);
        Filter(_main, source);
        Filter(_leftOrder, source);
        _left.RemoveWhere(chunk => chunk.Source == source);
        return before - _small.Count - _main.Count;
    }

    private static void Filter(Queue<CachedChunk> queue, LayeredSource source)
    {
        for (int left = queue.Count; left > 0; left--)
        {
            CachedChunk chunk = queue.Dequeue();
            if (chunk.Source != source)
            {
                queue.Enqueue(chunk);
            }
        }
    }

    // As many as the main queue has members; those that came back meanwhile are still in the order, and cost nothing.
    private void Remember(CachedChunk chunk)
    {
        if (_left.Add(chunk))
        {
            _leftOrder.Enqueue(chunk);
        }

        while (_leftOrder.Count > Math.Max(16, _main.Count))
        {
            _left.Remove(_leftOrder.Dequeue());
        }
    }
}
