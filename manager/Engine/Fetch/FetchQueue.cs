using UffdManager.Engine.Policies;
using UffdManager.Linux;

namespace UffdManager.Engine.Fetch;

/// <summary>
/// Slow sources are waited for here, on threads of their own, and never on a fault loop.
/// </summary>
/// <remarks>
/// Fair between tenants: each has a queue and a virtual time that grows by bytes / weight as its fetches start; the tenant furthest
/// behind starts next. Isolated: a tenant without a running fetch can always start one, because a tenant that already runs some may
/// take another thread only while enough threads remain for all tenants that wait with none, and a tenant that waits with none gets a thread
/// beyond the limit if all are taken. So a source that hangs holds at most its own tenant's threads.
/// </remarks>
internal sealed class FetchQueue : IDisposable
{
    private static readonly TimeSpan IdleThreadLife = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly Dictionary<TenantUsage, Lane> _lanes = [];
    private readonly List<Lane> _waiting = [];
    private readonly SemaphoreSlim _work = new(0);
    private readonly int _threadLimit;
    private readonly int _perTenant;
    private int _threads;
    private int _idle;
    private int _running;
    private double _virtualTime;
    private bool _stopping;

    public FetchQueue(int threadLimit, int perTenant)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadLimit, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(perTenant, 1);
        _threadLimit = threadLimit;
        _perTenant = perTenant;
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
                    depth += lane.Queue.Count;
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
            if (lane.Queue.Count == 0)
            {
                // A tenant that was idle must not have saved up credit.
                lane.VirtualTime = Math.Max(lane.VirtualTime, _virtualTime);
                _waiting.Add(lane);
            }

            lane.Queue.Enqueue(ticket);
            StartThreadIfUseful();
        }

        _work.Release();
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _stopping = true;
        }

        // Workers are background threads: one that hangs in a source cannot hold the process.
        _work.Release(_threadLimit + _lanes.Count + 1);
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
        if (_idle > 0 || _stopping)
        {
            return;
        }

        bool starving = false;
        foreach (Lane lane in _waiting)
        {
            starving |= lane.Running == 0;
        }

        // Above the limit there is at most one thread per tenant, for the one whose other half all hang in somebody else's sources.
        if (_threads < _threadLimit || starving)
        {
            _threads++;
            EngineThread.Start("uffd-fetch", Work);
        }
    }

    private void Work()
    {
        while (true)
        {
            FetchTicket? ticket;
            Lane? lane;
            lock (_lock)
            {
                (ticket, lane) = TakeNext();
                if (ticket is null)
                {
                    _idle++;
                }
            }

            if (ticket is null)
            {
                bool signalled = _work.Wait(IdleThreadLife);
                lock (_lock)
                {
                    _idle--;
                    if (_stopping || (!signalled && _waiting.Count == 0))
                    {
                        _threads--;
                        return;
                    }
                }

                continue;
            }

            Run(ticket);
            lock (_lock)
            {
                lane!.Running--;
                _running--;

                // Another tenant's fetch may have been held back for this thread's sake.
                if (_waiting.Count > 0)
                {
                    StartThreadIfUseful();
                }
            }
        }
    }

    private static void Run(FetchTicket ticket)
    {
        ticket.StartedAt = MonotonicClock.NowNanoseconds;
        try
        {
            ticket.Result = ticket.Source.Fetch(ticket.Offset, ticket.Length, ticket.Buffer, out ticket.Pages);
        }
        catch (Exception error) when (error is IOException or SyscallException or ObjectDisposedException or InvalidOperationException)
        {
            ticket.Result = error is SyscallException syscall ? syscall.Errno : Errno.EIO;
        }

        ticket.Loop.Complete(ticket);
    }

    private (FetchTicket? Ticket, Lane? Lane) TakeNext()
    {
        int free = Math.Max(_threadLimit, _threads) - _running;
        int starved = 0;
        foreach (Lane waiting in _waiting)
        {
            starved += waiting.Running == 0 ? 1 : 0;
        }

        Lane? best = null;
        foreach (Lane lane in _waiting)
        {
            bool mayStart = lane.Running == 0 || (lane.Running < _perTenant && free > starved);
            if (mayStart && (best is null || lane.VirtualTime < best.VirtualTime))
            {
                best = lane;
            }
        }

        if (best is null)
        {
            return (null, null);
        }

        FetchTicket ticket = best.Queue.Dequeue();
        _virtualTime = best.VirtualTime;
        best.VirtualTime += (double)ticket.Length / best.Weight;
        best.Running++;
        _running++;
        if (best.Queue.Count == 0)
        {
            _waiting.Remove(best);
        }

        return (ticket, best);
    }

    private sealed class Lane
    {
        public Queue<FetchTicket> Queue { get; } = new();

        public int Weight { get; set; } = 1;

        public int Running { get; set; }

        public double VirtualTime { get; set; }
    }
}
