using UffdManager.Engine.Policies;
using UffdManager.Linux;

namespace UffdManager.Engine.Fetch;

/// <summary>
/// Slow sources are waited for here, on threads of their own, and never on a fault loop.
/// </summary>
/// <remarks>
/// Faults first: what a tenant fetches ahead of them waits until none of its faults does, and never takes its last thread.
/// Fair between tenants: each has a queue and a virtual time that grows by bytes / weight as its fetches start; the tenant furthest
/// behind starts next. Isolated: a tenant without a running fetch can always start one, because a tenant that already runs some may
/// take another thread only while enough threads remain for all tenants that wait with none, and a tenant that waits with none gets a thread
/// beyond the limit if all are taken. So a source that hangs holds at most its own tenant's threads.
/// </remarks>
internal sealed class FetchQueue : IDisposable
{
    private const int WaitedForEachAhead = 16;

    private static readonly TimeSpan IdleThreadLife = TimeSpan.FromSeconds(10);

    // A monitor, because it can be waited on without spinning: a spin would steal the time of the very clients that wait.
    private readonly object _lock = new();
    private readonly Dictionary<TenantUsage, Lane> _lanes = [];
    private readonly List<Lane> _waiting = [];
    private readonly int _threadLimit;
    private readonly int _perTenant;
    private int _threads;
    private int _running;
    private double _virtualTime;
    private bool _stopping;

    public FetchQueue(int threadLimit, int perTenant)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadLimit, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(perTenant, 1);
        _threadLimit = threadLimit;
        _perTenant = perTenant;
        _threads = 1;
        EngineThread.Start("uffd-fetch", Work);
    }

    /// <summary>Fetches waiting for a thread, over all tenants.</summary>
    public int Depth
    {
        get
        {
            lock (_lock)
            {
                int depth = 0;
                foreach (Lane lane in _waiting)
                {
                    depth += lane.Count;
                }

                return depth;
            }
        }
    }

    /// <summary>Gives a ticket to the next free worker; it comes back through its loop. Never waits.</summary>
    public void Enqueue(FetchTicket ticket)
    {
        lock (_lock)
        {
            Lane lane = LaneOf(ticket);
            if (lane.Count == 0)
            {
                // A tenant that was idle must not have saved up credit.
                lane.VirtualTime = Math.Max(lane.VirtualTime, _virtualTime);
                _waiting.Add(lane);
            }

            (ticket.IsAhead ? lane.Ahead : lane.Waited).Enqueue(ticket);
            StartThreadIfUseful();
            Monitor.Pulse(_lock);
        }
    }

    public void Dispose()
    {
        // Workers are background threads: one that hangs in a source cannot hold the process.
        lock (_lock)
        {
            _stopping = true;
            Monitor.PulseAll(_lock);
        }
    }

    private Lane LaneOf(FetchTicket ticket)
    {
        TenantUsage usage = ticket.Usage;
        if (!_lanes.TryGetValue(usage, out Lane? lane))
        {
            _lanes[usage] = lane = new Lane();
        }

        lane.Weight = ticket.Session.Tenant.Weight;
        return lane;
    }

    private void StartThreadIfUseful()
    {
        int queued = 0;
        int starved = 0;
        foreach (Lane lane in _waiting)
        {
            queued += lane.Count;
            starved += lane.Running == 0 ? 1 : 0;
        }

        // Idle, just woken, or just started: each of them will take one ticket, and none can be counted on for two. Above the limit
        // there is at most one thread per tenant, for the one whose other half all hang in somebody else's sources.
        int available = _threads - _running;
        if (!_stopping && ((queued > available && _threads < _threadLimit) || starved > available))
        {
            TryStartThread();
        }
    }

    // clone(2) may be refused (pids.max, RLIMIT_NPROC). The threads that there are go on, the next ticket asks again, and the first thread of all
    // was made by the constructor.
    private void TryStartThread()
    {
        try
        {
            EngineThread.Start("uffd-fetch", Work);
            _threads++;
        }
        catch (Exception refused) when (refused is OutOfMemoryException or ThreadStartException)
        {
        }
    }

    private void Work()
    {
        Lane? done = null;
        bool wasAhead = false;
        while (true)
        {
            FetchTicket? ticket;
            lock (_lock)
            {
                if (done is not null)
                {
                    done.Running--;
                    done.RunningAhead -= wasAhead ? 1 : 0;
                    _running--;
                }

                while ((ticket = TakeNext(out done)) is null)
                {
                    bool pulsed = Monitor.Wait(_lock, IdleThreadLife);
                    if (_stopping || (!pulsed && _waiting.Count == 0 && _threads > 1))
                    {
                        _threads--;
                        return;
                    }
                }

                // What was held back for another tenant's sake may go ahead on a thread that idles.
                if (_waiting.Count > 0)
                {
                    Monitor.Pulse(_lock);
                }
            }

            wasAhead = ticket.IsAhead;
            Run(ticket);
        }
    }

    private static void Run(FetchTicket ticket)
    {
        ticket.StartedAt = MonotonicClock.NowNanoseconds;
        try
        {
            ticket.Result = ticket.Fetch();
        }
        catch (Exception error) when (error is IOException or SyscallException or ObjectDisposedException or InvalidOperationException)
        {
            ticket.Result = error is SyscallException syscall ? syscall.Errno : Errno.EIO;
        }

        ticket.Loop.Complete(ticket);
    }

    private FetchTicket? TakeNext(out Lane? from)
    {
        from = null;
        int free = Math.Max(_threadLimit, _threads) - _running;
        int starved = 0;
        foreach (Lane waiting in _waiting)
        {
            starved += waiting.Running == 0 ? 1 : 0;
        }

        Lane? best = null;
        foreach (Lane lane in _waiting)
        {
            bool mayStart = MayStartOf(lane) && (lane.Running == 0 || (lane.Running < _perTenant && free > starved));
            if (mayStart && (best is null || lane.VirtualTime < best.VirtualTime))
            {
                best = lane;
            }
        }

        if (best is null)
        {
            return null;
        }

        FetchTicket ticket = NextOf(best);
        _virtualTime = best.VirtualTime;
        best.VirtualTime += (double)ticket.Length / best.Weight;
        best.Running++;
        _running++;
        if (best.Count == 0)
        {
            _waiting.Remove(best);
        }

        from = best;
        return ticket;
    }

    // What is fetched ahead leaves one of the tenant's threads to the faults, if it has more than one.
    private bool MayStartOf(Lane lane) => lane.Waited.Count > 0 || lane.RunningAhead < Math.Max(1, _perTenant - 1);

    // A fault may have come to wait for what was asked for ahead: that must have its turn as well.
    private FetchTicket NextOf(Lane lane)
    {
        bool isAheadsTurn = lane.Waited.Count == 0 || (lane.Ahead.Count > 0 && lane.Passed >= WaitedForEachAhead && lane.RunningAhead < Math.Max(1, _perTenant - 1));
        if (!isAheadsTurn)
        {
            lane.Passed++;
            return lane.Waited.Dequeue();
        }

        lane.Passed = 0;
        lane.RunningAhead++;
        return lane.Ahead.Dequeue();
    }

    private sealed class Lane
    {
        /// <summary>What somebody waits for.</summary>
        public Queue<FetchTicket> Waited { get; } = new();

        /// <summary>What nobody waited for when it was asked for; after everything that is waited for.</summary>
        public Queue<FetchTicket> Ahead { get; } = new();

        public int Count => Waited.Count + Ahead.Count;

        public int RunningAhead { get; set; }

        /// <summary>Fetches that somebody waits for, started since the last one ahead.</summary>
        public int Passed { get; set; }

        public int Weight { get; set; } = 1;

        public int Running { get; set; }

        public double VirtualTime { get; set; }
    }
}
