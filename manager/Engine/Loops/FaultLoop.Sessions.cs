using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Sessions come and go.</content>
internal sealed partial class FaultLoop
{
    private const int MaximumNonBlockRepairs = 64;
    private const ulong ProcessBit = 1UL << 63;

    private readonly List<Slot> _slots = [];
    private readonly Stack<int> _freeSlots = new();
    private int _sessionCount;

    /// <summary>Sessions of this loop, in no order.</summary>
    public IEnumerable<Session> LiveSessions()
    {
        foreach (Slot slot in _slots)
        {
            if (slot.Session is not null)
            {
                yield return slot.Session;
            }
        }
    }

    /// <summary>Takes a session on; its descriptors are watched from now on.</summary>
    public void Add(Session session)
    {
        if (!_freeSlots.TryPop(out int index))
        {
            index = _slots.Count;
            _slots.Add(default);
        }

        uint generation = _slots[index].Generation + 1;
        _slots[index] = new Slot(session, generation);
        session.Slot = index;
        session.SlotGeneration = generation;
        _sessionCount++;
        if (_nextSweep == long.MaxValue)
        {
            _nextSweep = _now + _sweepNanoseconds;
            _sweptAt = _now;
        }

        Watch(session);
    }

    /// <summary>Begins to read a session that was adopted.</summary>
    public void BeginServing(Session session)
    {
        session.State = SessionState.Serving;
        session.Record();
        Watch(session);

        // Faults that the manager before us had read are lost; a wake makes the kernel report them again.
        WakeEverything(session);
        foreach (Region region in session.Regions.All.Where(region => (region.Flags & RegionFlags.Ahead) != 0).ToArray())
        {
            BeginPrefetch(session, region, isResumed: true);
        }
    }

    // Wherever it is: whoever waits may do so where no region is known any more.
    private static void WakeEverything(Session session)
    {
        if (Userfaultfd.WakeAll(session.Lease) == Errno.OK)
        {
            return;
        }

        foreach (Region region in session.Regions.All)
        {
            _ = Userfaultfd.Wake(session.Lease, region.Start, region.Length);
        }
    }

    /// <summary>Watches a forked child's process from now on.</summary>
    public void Identify(Session session, int pid, ulong startTime, SafePidFd pidFd)
    {
        session.Identify(pid, startTime, pidFd);
        session.Record();
        _engine.Keeper.StoreSession(session.Id, pidFd);
        Watch(session);
        _engine.Identified(session);
        if (session.State == SessionState.Condemned)
        {
            SendKill(session, pidFd);
        }
    }

    /// <summary>Ends a session: every descriptor closed, everything given back. Its process must be gone, or safe without us.</summary>
    public void End(Session session, SessionEndReason reason)
    {
        if (session.State == SessionState.Ended || session.Slot < 0)
        {
            return;
        }

        SessionEndReason told = session.State == SessionState.Condemned && (reason is SessionEndReason.ClientExited or SessionEndReason.AddressSpaceGone)
            ? SessionEndReason.ClientKilled
            : reason;
        session.State = SessionState.Ended;
        session.Snapshot?.Fail(EngineErrorKind.State, Errno.ESRCH, "the client is gone");
        session.Snapshot = null;
        CrashPoints.Visit(CrashPoint.EndBegun);

        // Before ours: what is closed last is what counts, and the store would never know.
        _engine.Keeper.RemoveSession(session.Id);
        CrashPoints.Visit(CrashPoint.EndUnstored);
        _slots[session.Slot] = new Slot(null, session.SlotGeneration);
        _freeSlots.Push(session.Slot);
        _sessionCount--;
        if (_lastFaulted == session)
        {
            _lastFaulted = null;
        }

        AccountGone(session);
        session.Deferred.Clear();
        session.IsDeferring = false;
        _deferring.Remove(session);
        ConcludeRuns(session);
        FailJobs(session);
        foreach (FetchTicket ticket in session.Tickets.ToArray())
        {
            Abandon(ticket);
        }

        // The client may hold duplicates of both: without EPOLL_CTL_DEL the entries would outlive our descriptors and report under
        // whatever takes their numbers.
        if (session.IsUffdWatched)
        {
            Epoll.Remove(_epoll, session.Uffd);
        }

        if (session.IsProcessWatched)
        {
            Epoll.Remove(_epoll, session.PidFd!);
        }

        session.PidFd?.Dispose();

        // Not on record: of a session that is handed over the next manager must know it.
        session.Displaced.ForEach(range => range.Release());
        ReleaseRegions(session);
        session.HeldSource?.Dispose();
        if (session.Space is null || session.Space.Sessions.TrueForAll(other => other == session))
        {
            session.Reads?.Dispose();
            session.Reads = null;
        }

        session.Pages.Dispose();
        session.Ledger.Dispose();
        session.Lease.Dispose();
        session.Uffd.Dispose();
        session.Tenant.Usage.RemoveSession();
        _engine.Ended(session, told);
    }

    /// <summary>Kills the client of a session that cannot be served.</summary>
    /// <remarks>A forked child that is not yet known by its pid is sent round once more: its next fault says who it is.</remarks>
    public void Kill(Session session, ulong address, string reason)
    {
        if (session.State is SessionState.Condemned or SessionState.Ended)
        {
            return;
        }

        session.State = SessionState.Condemned;
        session.Snapshot?.Fail(EngineErrorKind.State, Errno.ESRCH, "the client has to be killed");
        session.Record();
        Watch(session);
        session.Counters.KilledClients++;
        _engine.Publish(new ClientKilled(MonotonicClock.NowNanoseconds, session, address, reason));
        if (session.PidFd is SafePidFd pidFd)
        {
            SendKill(session, pidFd);
        }

        if (session.PidFd is not null && !session.CannotBeKilled)
        {
            return;
        }

        WakeEverything(session);
    }

    private void SendKill(Session session, SafePidFd pidFd)
    {
        Errno errno = PidFd.SendSignal(pidFd, Signals.Kill);
        if (errno is not (Errno.OK or Errno.ESRCH) && !session.CannotBeKilled)
        {
            session.CannotBeKilled = true;
            _engine.Publish(new ClientMisbehaved(_now, session, $"cannot be killed ({errno.Describe()}): its missing pages are poisoned instead. Give the manager CAP_KILL"));
        }
    }

    private static ulong Key(Session session) => ((ulong)session.SlotGeneration << 24) | (uint)session.Slot;

    private Session? FindSlot(ulong key, out bool isProcess)
    {
        isProcess = (key & ProcessBit) != 0;
        key &= ~ProcessBit;
        Slot slot = _slots[(int)(key & 0xff_ffff)];
        return slot.Generation == (uint)(key >> 24) ? slot.Session : null;
    }

    // The flag sits in the open file, which the client shares: it can be cleared at any time, and poll then only says POLLERR.
    private void RepairNonBlock(Session session)
    {
        FileIo.SetNonBlocking(session.Uffd);
        if (++session.NonBlockRepairs == MaximumNonBlockRepairs)
        {
            _engine.Publish(new ClientMisbehaved(_now, session, "clears O_NONBLOCK of its userfaultfd again and again"));
            Kill(session, 0, "clears O_NONBLOCK of its userfaultfd again and again, so that it cannot be polled");
        }
    }

    private static void AccountGone(Session session)
    {
        for (int i = 0; i < session.Deferred.Count; i++)
        {
            session.Counters.CountFault(Telemetry.FaultKind.Missing, Telemetry.FaultOutcome.ClientGone);
        }

        session.Counters.ResidentBytes -= session.ResidentBytes;
    }

    private void CloseSessions()
    {
        foreach (Session session in LiveSessions().ToArray())
        {
            End(session, _isHandingOver ? SessionEndReason.HandedOver : SessionEndReason.LeftToKeeper);
        }
    }

    private readonly record struct Slot(Session? Session, uint Generation);
}
