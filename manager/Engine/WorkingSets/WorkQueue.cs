using System.Collections.Concurrent;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// Work that may wait for the store, one piece after the other, on one thread of the pool at a time: of each tenant there is one, so that a store that hangs holds
/// one thread and nobody else's working sets. Any thread may add.
/// </summary>
/// <param name="worked">Called after each piece.</param>
internal sealed class WorkQueue(Action worked) : IThreadPoolWorkItem
{
    private readonly ConcurrentQueue<Action> _requests = new();
    private int _working;

    /// <inheritdoc/>
    public void Execute()
    {
        do
        {
            while (_requests.TryDequeue(out Action? request))
            {
                try
                {
                    request();
                }
                finally
                {
                    worked();
                }
            }

            // A full fence: the look at the queue must not come before.
            Interlocked.Exchange(ref _working, 0);
        }
        while (!_requests.IsEmpty && Interlocked.Exchange(ref _working, 1) == 0);
    }

    public void Add(Action request)
    {
        _requests.Enqueue(request);
        if (Interlocked.Exchange(ref _working, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }
}
