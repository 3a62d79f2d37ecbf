namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// Threads for work that may wait without end. Work gets a thread at once: one that is idle, or a new one; how many there may be is the caller's to limit. A thread that has been idle for
/// a while ends. A thread for each piece of work alone would cost more than most of the work: hundreds of VMs are restored at a time, and each is looked at three times.
/// </summary>
internal sealed class WorkerThreads(TimeSpan patience)
{
    // A monitor, because idle threads wait for it with a deadline.
    private readonly object _gate = new();
    private readonly Queue<Action> _work = new();
    private int _idle;

    /// <summary>Those of the process; an idle one stays for ten seconds.</summary>
    public static WorkerThreads Shared { get; } = new(TimeSpan.FromSeconds(10));

    /// <summary>Threads that wait for work at the moment.</summary>
    public int Idle
    {
        get
        {
            lock (_gate)
                return _idle;
        }
    }

    /// <summary>Does the work on a thread of its own. Whoever awaits the result goes on elsewhere.</summary>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        TaskCompletionSource<T> result = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Start(() => Complete(result, work));
        return result.Task;
    }

    private static void Complete<T>(TaskCompletionSource<T> result, Func<T> work)
    {
        try
        {
            result.SetResult(work());
        }
#pragma warning disable CA1031 // It is the awaiting side's.
        catch (Exception e)
#pragma warning restore CA1031
        {
            result.SetException(e);
        }
    }

    private void Start(Action work)
    {
        lock (_gate)
        {
            // Each queued piece has an idle thread that is on its way to it.
            if (_idle > _work.Count)
            {
                _work.Enqueue(work);
                Monitor.Pulse(_gate);
                return;
            }
        }

        _ = Task.Factory.StartNew(() => Work(work), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private void Work(Action first)
    {
        for (Action? work = first; work is not null; work = Next())
            work();
    }

    private Action? Next()
    {
        lock (_gate)
        {
            _idle++;
            while (_work.Count == 0)
            {
                // A piece that came together with the deadline is taken all the same.
                if (!Monitor.Wait(_gate, patience) && _work.Count == 0)
                {
                    _idle--;
                    return null;
                }
            }

            _idle--;
            return _work.Dequeue();
        }
    }
}
