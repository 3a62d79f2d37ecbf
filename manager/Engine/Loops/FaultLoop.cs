using System.Collections.Concurrent;
using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
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

    private readonly FaultEngine _engine;
    private readonly SafeEpoll _epoll;
    private readonly SafeEventFd _wakeup;
    private readonly FdLease _epollLease;
    private readonly FdLease _wakeupLease;
    private readonly EpollEvent[] _events = new EpollEvent[EpollBatch];
    private readonly UffdMessage[] _messages = new UffdMessage[MessageBatch];
    private readonly PendingFault[] _faults = new PendingFault[MaximumFaultsPerPump];
    private readonly ConcurrentQueue<LoopCommand> _commands = new();
    private readonly ConcurrentQueue<FetchTicket> _completed = new();
    private readonly List<LoopCommand> _parked = [];
    private readonly nuint _scratch;
    private readonly nuint _zeros;
    private readonly BufferPool _buffers = new();
    private readonly int? _cpu;
    private readonly long _sweepNanoseconds;

    private Thread? _thread;
    private int _signalled;
    private volatile bool _stopping;
    private long _now;
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
        _sweepNanoseconds = (long)options.LivenessSweep.TotalNanoseconds;
        _epoll = Epoll.Create();
        _wakeup = EventFd.Create();
        Epoll.Add(_epoll, _wakeup, EpollEvents.In, ControlKey);
        _epollLease = _epoll.Lease();
        _wakeupLease = _wakeup.Lease();
        Arena = new NodeArena(PageTable.LeafBytes, PageTable.NodeBytes);
        _scratch = NativePages.Map(ScratchBytes);
        _zeros = NativePages.Map(ScratchBytes);
    }

    public int Index { get; }

    public NodeArena Arena { get; }

    public SampleRing Samples { get; } = new();

    /// <summary>Sessions it serves, for balance; written by the engine under its lock.</summary>
    public int AssignedSpaces { get; set; }

    public void Start() => _thread = EngineThread.Start($"uffd-loop-{Index}", Run);

    /// <summary>Runs a command on the loop's thread, after whatever it is doing now.</summary>
    public void Post(LoopCommand command)
    {
        _commands.Enqueue(command);
        Signal();
    }

    /// <summary>Gives a ticket back; called by fetch threads.</summary>
    public void Complete(FetchTicket ticket)
    {
        _completed.Enqueue(ticket);
        Signal();
    }

    public LoopSnapshot Snapshot() => new(
        Index,
        Volatile.Read(ref _sessionCount),
        Volatile.Read(ref _busy),
        Volatile.Read(ref _spun),
        Volatile.Read(ref _wakeups),
        Volatile.Read(ref _lastTurn),
        Samples.Dropped,
        Arena.ReservedBytes);

    public void Dispose()
    {
        _stopping = true;
        EventFd.Signal(_wakeup);
        _thread?.Join();
        _epollLease.Dispose();
        _wakeupLease.Dispose();
        _wakeup.Dispose();
        _epoll.Dispose();
        if (_atWorkers == 0)
        {
            // A worker that hangs in a source may still write to its buffer one day.
            _buffers.Dispose();
        }

        Arena.Dispose();
        NativePages.Unmap(_scratch, ScratchBytes);
        NativePages.Unmap(_zeros, ScratchBytes);
    }

    private void Signal()
    {
        // The flag saves the system call for all but the first of a burst; the loop clears it before it empties the queues.
        if (Interlocked.Exchange(ref _signalled, 1) == 0)
        {
            EventFd.Signal(_wakeupLease);
        }
    }

    private void Run()
    {
        if (_cpu is int cpu)
        {
            Affinity.PinCurrentThread(cpu);
        }

        while (!_stopping)
        {
            int ready = Wait();
            long began = _now;
            for (int i = 0; i < ready; i++)
            {
                Dispatch(in _events[i]);
            }

            RunQueues();
            RunTimers();
            PopulateSlice();
            _now = MonotonicClock.NowNanoseconds;
            _idleSince = _now;
            _lastTurn = _now;
            _busy += _now - began;
        }

        CloseSessions();
    }

    private void Dispatch(in EpollEvent ready)
    {
        if (ready.Key == ControlKey)
        {
            _wakeups++;
            EventFd.Drain(_wakeupLease);
            Volatile.Write(ref _signalled, 0);
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

        if (_now >= _nextTicket)
        {
            CheckTickets();
        }

        if (_parked.Count > 0)
        {
            RetryParked();
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

    // Nanoseconds until something must be done without being asked; 0 = at once, -1 = never.
    private long NextTimeout()
    {
        if (HasPopulateWork)
        {
            return 0;
        }

        long due = Math.Min(Math.Min(_nextDeferred, _nextTicket), Math.Min(_nextSweep, NextPopulateDue));
        foreach (LoopCommand command in _parked)
        {
            due = Math.Min(due, command.DueAt);
        }

        return due == long.MaxValue ? -1 : Math.Max(0, due - _now);
    }
}
