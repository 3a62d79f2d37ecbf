using System.Collections.Concurrent;
using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>
/// One thread with one epoll instance that serves the userfaultfds of its sessions.
/// </summary>
/// <remarks>
/// <para>A session, its regions and its page table belong to exactly one loop, and so do all sessions of one address space. Everything
/// that touches them runs on the loop's thread: faults and events as they are read, commands from a queue, fetched pages handed back
/// by the fetch threads, background population in slices. So there is no lock on the fault path, and an event can never slip
/// between the check of a page's state and the installation of the page.</para>
/// <para>The loop never waits for anything but epoll: no source, no client socket, no client memory.</para>
/// </remarks>
internal sealed partial class FaultLoop : IDisposable
{
    // Small batches in debug builds, so that every test run exercises the many-batches path.
#if DEBUG
    private const int MessageBatch = 4;
    private const int EpollBatch = 4;
#else
    private const int MessageBatch = 128;
    private const int EpollBatch = 128;
#endif
    private const int MaximumFaultsPerPump = 4096;
    private const int ScratchBytes = 2 * 1024 * 1024;

    private const ulong ControlKey = ulong.MaxValue;
    private const ulong TimerKey = ulong.MaxValue - 1;

    private readonly FaultEngine _engine;
    private readonly SafeEpoll _epoll;
    private readonly SafeEventFd _wakeup;
    private readonly FdLease _epollLease;
    private readonly FdLease _wakeupLease;
    private readonly SafeTimerFd _timer;
    private readonly FdLease _timerLease;
    private readonly Lock _postLock = new();
    private readonly EpollEvent[] _events = new EpollEvent[EpollBatch];
    private readonly PendingFault[] _faults = new PendingFault[MaximumFaultsPerPump];
    private readonly ConcurrentQueue<LoopCommand> _commands = new();
    private readonly ConcurrentQueue<FetchTicket> _completed = new();
    private readonly List<LoopCommand> _parked = [];
    private readonly nuint _scratch;
    private readonly nuint _zeros;
    private readonly BufferPool _buffers = new();
    private readonly int? _cpu;
    private readonly int _nice;
    private readonly long _sweepNanoseconds;
    private readonly long _adoptionNanoseconds;

    private Thread? _thread;
    private int _signalled;
    private bool _closed;
    private bool _queued;
    private volatile bool _stopping;
    private bool _isHandingOver;
    private long _now;
    private long _lastClock;
    private long _armedFor = long.MaxValue;
    private long _nextSweep = long.MaxValue;
    private int _faultCount;
    private long _busy;
    private long _spun;
    private long _wakeups;
    private long _lastTurn;

    public FaultLoop(FaultEngine engine, int index, EngineOptions options)
    {
        _engine = engine;
        Index = index;
        _cpu = options.PinLoops ? index : null;
        _nice = options.LoopNice;
        _forkPatience = (long)options.ForkPatience.TotalNanoseconds;
        _sweepNanoseconds = (long)options.LivenessSweep.TotalNanoseconds;
        _adoptionNanoseconds = (long)options.AdoptionTimeout.TotalNanoseconds;
        _epoll = Epoll.Create();
        _wakeup = EventFd.Create();
        Epoll.Add(_epoll, _wakeup, EpollEvents.In, ControlKey);
        _timer = TimerFd.Create();
        Epoll.Add(_epoll, _timer, EpollEvents.In, TimerKey);
        _timerLease = _timer.Lease();
        _epollLease = _epoll.Lease();
        _wakeupLease = _wakeup.Lease();
        _scratch = NativePages.Map(ScratchBytes);
        _zeros = NativePages.Map(ScratchBytes);
    }

    public int Index { get; }

    /// <summary>Memory of its sessions' ledgers.</summary>
    public MemoryGauge StateBytes { get; } = new();

    public SampleRing Samples { get; } = new();

    /// <summary>Sessions it serves, for balance; written by the engine under its lock.</summary>
    public int AssignedSpaces { get; set; }

    /// <summary>As the engine's. Any thread.</summary>
    public long NextGeneration() => _engine.NextGeneration();

    public void Start() => _thread = EngineThread.Start($"uffd-loop-{Index}", Run);

    /// <summary>Runs a command on the loop's thread, after whatever it is doing now.</summary>
    public void Post(LoopCommand command)
    {
        _commands.Enqueue(command);
        if (!TrySignal())
        {
            RefuseCommands();
        }
    }

    /// <summary>Gives a ticket back; called by fetch threads.</summary>
    public void Complete(FetchTicket ticket)
    {
        _completed.Enqueue(ticket);
        if (!TrySignal())
        {
            DropCompleted();
        }
    }

    public LoopSnapshot Snapshot() => new(
        Index,
        Volatile.Read(ref _sessionCount),
        Volatile.Read(ref _busy),
        Volatile.Read(ref _spun),
        Volatile.Read(ref _wakeups),
        Volatile.Read(ref _lastTurn),
        Samples.Dropped,
        (ulong)StateBytes.Bytes);

    public void Dispose()
    {
        _stopping = true;
        EventFd.Signal(_wakeup);
        _thread?.Join();
        lock (_postLock)
        {
            // From here on nobody signals: the number of the eventfd may soon be somebody else's.
            _closed = true;
        }

        RefuseCommands();
        DropCompleted();
        _epollLease.Dispose();
        _wakeupLease.Dispose();
        _timerLease.Dispose();
        _wakeup.Dispose();
        _timer.Dispose();
        _epoll.Dispose();
        if (_atWorkers == 0)
        {
            // A worker that hangs in a source may still write to its buffer one day.
            _buffers.Dispose();
        }

        NativePages.Unmap(_scratch, ScratchBytes);
        NativePages.Unmap(_zeros, ScratchBytes);
    }

    // False when the loop is over. The flag saves the system call for all but the first of a burst; the loop clears it before it empties the
    // queues. The lock is never taken by the loop itself, and never held across anything that waits.
    private bool TrySignal()
    {
        lock (_postLock)
        {
            if (!_closed && Interlocked.Exchange(ref _signalled, 1) == 0)
            {
                EventFd.Signal(_wakeupLease);
            }

            return !_closed;
        }
    }

    private void RefuseCommands()
    {
        while (_commands.TryDequeue(out LoopCommand? command))
        {
            command.Refuse();
        }
    }

    private void Run()
    {
        EngineThread.BecomeFaultLoop();
        _ = Affinity.TrySetNice(_nice);
        if (_cpu is int cpu)
        {
            Affinity.PinCurrentThread(cpu);
        }

        while (!_stopping)
        {
            CrashPoints.Visit(CrashPoint.LoopTurn);
            int ready = Wait();
            long began = _now;
            for (int i = 0; i < ready; i++)
            {
                Dispatch(in _events[i]);
            }

            if (_queued)
            {
                _queued = false;
                RunQueues();
            }

            RunTimers();
            PopulateSlice();

            // The clock was read when the last fault was accounted; one more reading would say nothing new.
            _now = _lastClock > began ? _lastClock : MonotonicClock.NowNanoseconds;
            _idleSince = _now;
            _lastTurn = _now;
            _busy += _now - began;
        }

        CloseSessions();
        _spareLedger?.Dispose();
        foreach (LoopCommand command in _parked)
        {
            command.Refuse();
        }
    }

    private void Dispatch(in EpollEvent ready)
    {
        if (ready.Key == ControlKey)
        {
            _wakeups++;
            EventFd.Drain(_wakeupLease);
            Volatile.Write(ref _signalled, 0);
            _queued = true;
            return;
        }

        if (ready.Key == TimerKey)
        {
            TimerFd.Drain(_timerLease);
            _armedFor = long.MaxValue;
            return;
        }

        // A session that an earlier event of this batch ended has given its slot back under a new generation.
        Session? session = FindSlot(ready.Key, out bool isProcess);
        if (session is null)
        {
            return;
        }

        _wakeups++;
        if (isProcess)
        {
            ProcessExited(session);
            return;
        }

        if ((ready.Events & EpollEvents.Err) != 0)
        {
            RepairNonBlock(session);
        }

        Pump(session);
    }

    private void RunQueues()
    {
        while (_completed.TryDequeue(out FetchTicket? ticket))
        {
            FinishFetch(ticket);
        }

        while (_commands.TryDequeue(out LoopCommand? command))
        {
            RunCommand(command);
        }
    }

    // Tickets that come back to a loop that is over: what they hold is given back, but for the buffer, which went with the loop's pool.
    private void DropCompleted()
    {
        while (_completed.TryDequeue(out FetchTicket? ticket))
        {
            ticket.Image?.EndClaimIfUnfilled(ticket.Region.OffsetOf(ticket.Start));
            ticket.Usage.RemoveFetch(ticket.PageCount);
            ticket.Source.Dispose();
            ticket.Image?.Dispose();
        }
    }

    private void RunCommand(LoopCommand command)
    {
        if (!command.TryRun(this, _now))
        {
            _parked.Add(command);
        }
    }

    private void RunTimers()
    {
        if (_now >= _nextDeferred)
        {
            RetryDeferred();
        }

        if (_now >= _nextTicket || _turned >= _nextVerdict)
        {
            CheckTickets();
        }

        if (_now >= _nextRunEnd)
        {
            CheckRuns();
        }

        if (_now >= _nextUnstored)
        {
            CheckUnstored();
        }

        if (_parked.Count > 0)
        {
            RetryParked();
        }

        if (_now >= _nextLook)
        {
            LookAtSome();
        }

        if (_now >= _nextSweep)
        {
            Sweep();
        }
    }

    private void RetryParked()
    {
        for (int i = _parked.Count - 1; i >= 0; i--)
        {
            LoopCommand command = _parked[i];
            if (command.DueAt <= _now && command.TryRun(this, _now))
            {
                _parked.RemoveAt(i);
            }
        }
    }

    // When something must be done without being asked: monotonic nanoseconds, 0 for at once.
    private long NextDue()
    {
        if (HasPopulateWork)
        {
            return 0;
        }

        long due = Math.Min(Math.Min(_nextDeferred, _nextTicket), Math.Min(Math.Min(_nextSweep, _nextRunEnd), Math.Min(NextPopulateDue, Math.Min(_nextUnstored, _nextLook))));
        due = Math.Min(due, NextTurn());
        foreach (LoopCommand command in _parked)
        {
            due = Math.Min(due, command.DueAt);
        }

        return due;
    }
}
