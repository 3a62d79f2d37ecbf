using UffdManager.Daemon.Hosting;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.FrontDoors;

/// <summary>
/// The front door's thread: one epoll instance with the listener, a queue for work from elsewhere, and every connection. All
/// connections, the session directory and the deadlines belong to this thread. It waits for nothing but epoll: the engine's answers come
/// back through the queue, and what may wait for a file system has threads of its own.
/// </summary>
/// <remarks>
/// epoll keys are slot and generation, never a descriptor: an event of a connection that was closed earlier in the same batch finds
/// another generation in its slot and is dropped.
/// </remarks>
internal sealed partial class DoorLoop : IDisposable
{
    private const ulong ListenerKey = ulong.MaxValue;
    private const ulong QueueKey = ulong.MaxValue - 1;

#if DEBUG
    // So that every debug run takes the way of several batches.
    private const int Batch = 2;
#else
    private const int Batch = 64;
#endif

    private static readonly TimeSpan s_sweepPeriod = TimeSpan.FromSeconds(10);

    private readonly DoorQueue _queue = new();
    private readonly SafeEpoll _epoll = Epoll.Create();
    private readonly List<Slot> _slots = [];
    private readonly Stack<int> _freeSlots = new();
    private readonly Queue<(Connection Connection, long Deadline)> _deadlines = new();
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly LogThrottle _logThrottle;
    private SafeSocketFd? _listener;
    private long _nextSweep;
    private bool _stopping;

    public DoorLoop(DoorServices services)
    {
        Services = services;
        Handler = new RequestHandler(services, this);
        _logThrottle = new LogThrottle(burst: 10, refill: TimeSpan.FromSeconds(6), services.Time);
        Epoll.Add(_epoll, _queue.Event, EpollEvents.In, QueueKey);
    }

    public DoorServices Services { get; }

    public RequestHandler Handler { get; }

    public SessionDirectory Sessions => Services.Sessions;

    public ImageCatalog Images => Services.Images;

    public BlockingWork Blocking { get; } = new();

    /// <summary>Where every message is received, looked at and left behind before the next one comes.</summary>
    public byte[] ReceiveBuffer { get; } = new byte[ProtocolLimits.MaxMessage];

    /// <summary>Where every message is encoded.</summary>
    public byte[] SendBuffer { get; } = new byte[ProtocolLimits.MaxMessage];

    public SafeEpoll Poll => _epoll;

    private static string Door => NativeFrontDoor.DoorName;

    /// <summary>Begins to serve; takes the listening socket over.</summary>
    public void Start(SafeSocketFd listener)
    {
        _listener = listener;
        Epoll.Add(_epoll, listener, EpollEvents.In, ListenerKey);
        _nextSweep = Deadline(s_sweepPeriod);
        new Thread(Run) { IsBackground = true, Name = "front door" }.Start();
    }

    /// <summary>Work for the front door's thread; from any thread.</summary>
    public void Post(Action work) => _queue.Post(work);

    /// <summary>Says goodbye to everybody and ends the thread; from any thread.</summary>
    public Task StopAsync()
    {
        _queue.Post(Stop);
        return _stopped.Task;
    }

    /// <summary>Completes when the thread has taken a turn, or has ended; from any thread.</summary>
    public Task PingAsync()
    {
        TaskCompletionSource turn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _queue.Post(turn.SetResult);
        return Task.WhenAny(turn.Task, _stopped.Task);
    }

    /// <summary>A session is over: its connection is told, its token forgotten. On the front door's thread.</summary>
    public void EndSession(Session session, SessionEndReason reason)
    {
        if (Sessions.Find(session) is not { } entry)
            return;
        Connection? connection = entry.Connection;
        Sessions.Remove(entry);
        if (connection is null || reason == SessionEndReason.Bye)
            return;
        bool killed = reason == SessionEndReason.ClientKilled;
        Guard(connection, () => connection.SayGoodbye(
            killed ? GoodbyeReason.Killed : GoodbyeReason.SessionEnded,
            killed ? "the process was killed because a page could not be had" : "the process is gone"));
    }

    /// <summary>Watches a connection until <see cref="Forget"/>.</summary>
    public ulong Watch(Connection connection)
    {
        if (!_freeSlots.TryPop(out int slot))
        {
            slot = _slots.Count;
            _slots.Add(default);
        }

        uint generation = _slots[slot].Generation + 1;
        _slots[slot] = new Slot(connection, generation);
        return ((ulong)generation << 32) | (uint)slot;
    }

    public void Forget(ulong key)
    {
        int slot = (int)(uint)key;
        _slots[slot] = _slots[slot] with { Connection = null };
        _freeSlots.Push(slot);
        _open--;
        ResumeAccepting();
    }

    /// <summary>Closes the connection unless it has got on by then. All calls give the same time, so the queue is in order.</summary>
    public long ExpectWithin(Connection connection)
    {
        long deadline = Deadline(Services.Options.FirstMessageTimeout);
        _deadlines.Enqueue((connection, deadline));
        return deadline;
    }

    public void Dispose()
    {
        _epoll.Dispose();
        _queue.Dispose();
        _device?.Dispose();
    }

    private void Run()
    {
        try
        {
            SynchronizationContext.SetSynchronizationContext(_queue);
            Span<EpollEvent> events = stackalloc EpollEvent[Batch];
            using FdLease lease = _epoll.Lease();
            while (!_stopping)
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
            Environment.FailFast($"front door died: {e}", e);
        }
    }

    private void Dispatch(EpollEvent report)
    {
        switch (report.Key)
        {
            case QueueKey:
                _queue.Run();
                break;
            case ListenerKey:
                Accept();
                break;
            default:
                Slot slot = _slots[(int)(uint)report.Key];
                if (slot.Generation == (uint)(report.Key >> 32) && slot.Connection is { } connection)
                    Guard(connection, () => connection.OnReady(report.Events));
                break;
        }
    }

    // What fails for one connection, for whatever reason, ends that connection: the sessions of all the others depend on this thread.
    public static void Guard(Connection connection, Action work)
    {
        try
        {
            work();
        }
#pragma warning disable CA1031 // See above; the log has the defect.
        catch (Exception e)
#pragma warning restore CA1031
        {
            connection.Fail(e);
        }
    }

    private void Stop()
    {
        if (_stopping)
            return;
        _stopping = true;
        CloseListener();
        foreach (Slot slot in _slots.ToArray())
        {
            if (slot.Connection is { } connection)
                Guard(connection, () => connection.SayGoodbye(GoodbyeReason.ShuttingDown, "the manager is stopping"));
        }

        Sessions.Clear();
    }

    private long WaitNanoseconds()
    {
        long next = Sessions.Count > 0 ? _nextSweep : long.MaxValue;
        if (_deadlines.TryPeek(out (Connection Connection, long Deadline) first))
            next = Math.Min(next, first.Deadline);
        if (_acceptAgain != 0)
            next = Math.Min(next, _acceptAgain);
        if (_leaveBy != 0)
            next = Math.Min(next, _leaveBy);
        if (next == long.MaxValue)
            return -1;

        // Rounded up: waking early would spin for the rest of the tick.
        TimeSpan left = Services.Time.GetElapsedTime(Services.Time.GetTimestamp(), next);
        return Math.Max(0, (left.Ticks * 100) + 100);
    }

    private void Expire()
    {
        long now = Services.Time.GetTimestamp();
        while (_deadlines.TryPeek(out (Connection Connection, long Deadline) first) && first.Deadline <= now)
        {
            _deadlines.Dequeue();
            if (first.Connection.Deadline == first.Deadline)
                Guard(first.Connection, first.Connection.OnHandshakeTimeout);
        }

        if (_acceptAgain != 0 && _acceptAgain <= now)
            ResumeAccepting();
        Leave(now);
        if (_nextSweep > now)
            return;
        _nextSweep = Deadline(s_sweepPeriod);
        foreach (SessionEntry entry in Sessions.Ended())
            EndSession(entry.Session, SessionEndReason.ClientExited);
    }

    private long Deadline(TimeSpan time) =>
        Services.Time.GetTimestamp() + (long)(time.TotalSeconds * Services.Time.TimestampFrequency);

    private readonly record struct Slot(Connection? Connection, uint Generation);
}
