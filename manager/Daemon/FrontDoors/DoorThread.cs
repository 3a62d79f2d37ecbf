using UffdManager.Linux;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// The thread of a front door: one epoll instance with its listeners and connections, a queue for work from elsewhere, and deadlines. Everything that
/// a front door has belongs to this thread. It waits for nothing but epoll: the engine's answers come back through the queue, and what may wait for a file system has
/// threads of its own.
/// </summary>
/// <remarks>
/// epoll keys are slot and generation, never a descriptor: an event of a member that was closed earlier in the same batch finds
/// another generation in its slot and is dropped.
/// </remarks>
internal abstract class DoorThread : IDisposable
{
    private const ulong QueueKey = ulong.MaxValue;

#if DEBUG
    // So that every debug run takes the way of several batches.
    private const int Batch = 2;
#else
    private const int Batch = 64;
#endif

    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly DoorQueue _queue = new();
    private readonly SafeEpoll _epoll = Epoll.Create();
    private readonly List<Slot> _slots = [];
    private readonly Stack<int> _freeSlots = new();
    private readonly PriorityQueue<(IDoorMember Member, long Deadline), long> _deadlines = new();
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _ending;

    /// <param name="name">Of the thread, at most 15 characters.</param>
    /// <param name="time">Measures deadlines.</param>
    protected DoorThread(string name, TimeProvider time)
    {
        _name = name;
        _time = time;
        Epoll.Add(_epoll, _queue.Event, EpollEvents.In, QueueKey);
    }

    /// <summary>What can make a client wait.</summary>
    public BlockingWork Blocking { get; } = new();

    /// <summary>Where members register their descriptors, with the key of <see cref="Watch"/>.</summary>
    public SafeEpoll Poll => _epoll;

    /// <summary>Completes when the thread has ended.</summary>
    protected Task Stopped => _stopped.Task;

    /// <summary>When <see cref="OnTurn"/> is to be called at the latest.</summary>
    protected virtual long NextDue => long.MaxValue;

    /// <summary>Those who are watched now.</summary>
    protected List<IDoorMember> Members => [.. _slots.Select(slot => slot.Member).OfType<IDoorMember>()];

    /// <summary>Work for this thread; from any thread.</summary>
    public void Post(Action work) => _queue.Post(work);

    /// <summary>Completes when the thread has taken a turn, or has ended; from any thread.</summary>
    public Task PingAsync()
    {
        TaskCompletionSource turn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _queue.Post(turn.SetResult);
        return Task.WhenAny(turn.Task, _stopped.Task);
    }

    /// <summary>Watches a member until <see cref="Unwatch"/>.</summary>
    /// <returns>The key for its descriptor.</returns>
    public ulong Watch(IDoorMember member)
    {
        if (!_freeSlots.TryPop(out int slot))
        {
            slot = _slots.Count;
            _slots.Add(default);
        }

        uint generation = _slots[slot].Generation + 1;
        _slots[slot] = new Slot(member, generation);
        return ((ulong)generation << 32) | (uint)slot;
    }

    /// <summary>Ends <see cref="Watch"/>; the descriptor must be out of the epoll set.</summary>
    public void Unwatch(ulong key)
    {
        int slot = (int)(uint)key;
        _slots[slot] = _slots[slot] with { Member = null };
        _freeSlots.Push(slot);
    }

    /// <summary>Calls <see cref="IDoorMember.OnDeadline"/> after this time, if the member's deadline is then still the one that is returned.</summary>
    public long ExpectWithin(IDoorMember member, TimeSpan time)
    {
        long deadline = DueIn(time);
        _deadlines.Enqueue((member, deadline), deadline);
        return deadline;
    }

    /// <summary>A moment by the clock of deadlines.</summary>
    public long DueIn(TimeSpan time) => _time.GetTimestamp() + (long)(time.TotalSeconds * _time.TimestampFrequency);

    // What fails for one member, for whatever reason, ends that member: the sessions of all the others depend on this thread.
    public static void Guard(IDoorMember member, Action work)
    {
        try
        {
            work();
        }
#pragma warning disable CA1031 // See above; the log has the defect.
        catch (Exception e)
#pragma warning restore CA1031
        {
            member.Fail(e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        _epoll.Dispose();
        _queue.Dispose();
    }

    protected void StartThread() => new Thread(Run) { IsBackground = true, Name = _name }.Start();

    /// <summary>Ends the thread after this turn.</summary>
    protected void End() => _ending = true;

    /// <summary>What is to be done between two batches.</summary>
    /// <param name="now">By the clock of deadlines.</param>
    protected virtual void OnTurn(long now)
    {
    }

    private void Run()
    {
        try
        {
            SynchronizationContext.SetSynchronizationContext(_queue);
            Span<EpollEvent> events = stackalloc EpollEvent[Batch];
            using FdLease lease = _epoll.Lease();
            while (!_ending)
            {
                int count = Epoll.Wait(lease, events, WaitNanoseconds());
                foreach (EpollEvent report in events[..count])
                    Dispatch(report);
                Expire();
            }

            _stopped.SetResult();
        }
#pragma warning disable CA1031 // A front door that is half dead would keep the socket and answer nobody.
        catch (Exception e)
#pragma warning restore CA1031
        {
            Environment.FailFast($"{_name} died: {e}", e);
        }
    }

    private void Dispatch(EpollEvent report)
    {
        if (report.Key == QueueKey)
        {
            _queue.Run();
            return;
        }

        Slot slot = _slots[(int)(uint)report.Key];
        if (slot.Generation == (uint)(report.Key >> 32) && slot.Member is { } member)
            Guard(member, () => member.OnReady(report.Events));
    }

    private long WaitNanoseconds()
    {
        long next = NextDue;
        if (_deadlines.TryPeek(out _, out long first))
            next = Math.Min(next, first);
        if (next == long.MaxValue)
            return -1;

        // Rounded up: waking early would spin for the rest of the tick.
        TimeSpan left = _time.GetElapsedTime(_time.GetTimestamp(), next);
        return Math.Max(0, (left.Ticks * 100) + 100);
    }

    private void Expire()
    {
        long now = _time.GetTimestamp();
        while (_deadlines.TryPeek(out (IDoorMember Member, long Deadline) first, out long due) && due <= now)
        {
            _deadlines.Dequeue();
            if (first.Member.Deadline == first.Deadline)
                Guard(first.Member, first.Member.OnDeadline);
        }

        OnTurn(now);
    }

    private readonly record struct Slot(IDoorMember? Member, uint Generation);
}
