using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Looking after sessions of which nothing tells: all of them now and then, and soon those that cannot be left alone for so long.</content>
/// <remarks>
/// These are two clocks. A sweep asks the kernel about every session, so it must stay rare however many sessions want a look soon; and what it finds twice, a second apart, it takes for lasting.
/// </remarks>
internal sealed partial class FaultLoop
{
    // How long a descriptor that cannot be read (for lack of descriptor numbers) or watched is left alone, and memory that outlives its process.
    private const long SoonNanoseconds = 10_000_000;

    private readonly List<Session> _soon = [];
    private long _nextLook = long.MaxValue;

    // Time from sweep to sweep, of which one that comes late adds no more than two: clients whose manager was stopped have had no time to say anything.
    private long _swept;
    private long _sweptAt;

    /// <summary>Gives a client that is adopted the whole time anew in which it has to say (more of) what its ranges contain.</summary>
    public void AwaitRanges(Session session)
    {
        if (session.State == SessionState.Adopting)
        {
            session.AdoptionDeadline = _swept + _adoptionNanoseconds;
        }
    }

    // Puts into the epoll set what of a session belongs there and is not yet in it. The set can be full (fs.epoll.max_user_watches) or out of
    // memory: the session is looked at again soon, and nobody else is harmed.
    private void Watch(Session session)
    {
        try
        {
            if (session.PidFd is SafePidFd pidFd && !session.IsProcessWatched && session.ExitedAt == 0)
            {
                Epoll.Add(_epoll, pidFd, EpollEvents.In, Key(session) | ProcessBit);
                session.IsProcessWatched = true;
            }

            if (session.State != SessionState.Adopting && !session.IsUffdWatched)
            {
                Epoll.Add(_epoll, session.Uffd, EpollEvents.In, Key(session));
                session.IsUffdWatched = true;
            }
        }
        catch (SyscallException)
        {
            LookSoon(session);
        }
    }

    // A fork event needs a descriptor number; without one the kernel keeps the event, and epoll would report it without end.
    private void Mute(Session session)
    {
        if (session.IsUffdWatched && !session.IsMuted)
        {
            Epoll.Modify(_epoll, session.Uffd, EpollEvents.None, Key(session));
            session.IsMuted = true;
        }

        LookSoon(session);
    }

    // The memory may outlive the process: a child of vfork or clone(CLONE_VM) still runs in it, the preload library's agent among them. To
    // close the userfaultfd then would give that child zeros. The looks of the next second, and then the sweeps, see the end of the memory itself.
    private void ProcessExited(Session session)
    {
        if (Userfaultfd.IsOwnerGone(session.Lease))
        {
            End(session, SessionEndReason.ClientExited);
            return;
        }

        Epoll.Remove(_epoll, session.PidFd!);
        session.IsProcessWatched = false;
        session.ExitedAt = _now;
        if (session.Work is not null)
        {
            // Whoever reads the client's memory for a snapshot keeps it alive, and may wait for a page of it: that fault comes again, and is refused.
            WakeEverything(session);
        }

        LookSoon(session);
    }

    private void LookSoon(Session session)
    {
        if (!session.IsToBeLookedAt)
        {
            session.IsToBeLookedAt = true;
            _soon.Add(session);
        }

        _nextLook = Math.Min(_nextLook, _now + SoonNanoseconds);
    }

    private void LookAtSome()
    {
        _nextLook = long.MaxValue;
        int count = _soon.Count;
        for (int i = 0; i < count; i++)
        {
            Session session = _soon[i];
            session.IsToBeLookedAt = false;
            if (session.State != SessionState.Ended)
            {
                LookAt(session);
            }
        }

        // Behind them are those that want it again.
        _soon.RemoveRange(0, count);
    }

    private void LookAt(Session session)
    {
        if (session.IsMuted)
        {
            session.IsMuted = false;
            Epoll.Modify(_epoll, session.Uffd, EpollEvents.In, Key(session));
        }

        Watch(session);
        if (session.ExitedAt != 0 && Userfaultfd.IsOwnerGone(session.Lease))
        {
            End(session, SessionEndReason.ClientExited);
        }
        else if (session.ExitedAt != 0 && _now - session.ExitedAt < _sweepNanoseconds)
        {
            LookSoon(session);
        }
    }

    private void Sweep()
    {
        _nextSweep = _sessionCount == 0 ? long.MaxValue : _now + _sweepNanoseconds;
        _swept += Math.Min(_now - _sweptAt, 2 * _sweepNanoseconds);
        _sweptAt = _now;
        for (int i = 0; i < _slots.Count; i++)
        {
            if (_slots[i].Session is not Session session)
            {
                continue;
            }

            session.NonBlockRepairs = 0;
            if (session.State == SessionState.Condemned && session.CannotBeKilled)
            {
                SendKill(session, session.PidFd!);
            }

            Watch(session);
            if (Userfaultfd.IsOwnerGone(session.Lease))
            {
                EndWithoutAddressSpace(session);
            }
            else if (session.State == SessionState.Adopting && _swept >= session.AdoptionDeadline)
            {
                Kill(session, 0, "was adopted from an earlier manager and never said what its ranges contain");
            }
        }
    }

    // A process that exits gives its memory up before its pidfd says so. Only who still has none at the next sweep has called exec.
    private void EndWithoutAddressSpace(Session session)
    {
        if (session.PidFd is null || PidFd.HasExited(session.PidFd))
        {
            End(session, SessionEndReason.ClientExited);
        }
        else if (session.IsAddressSpaceGone)
        {
            End(session, SessionEndReason.AddressSpaceGone);
        }
        else
        {
            session.IsAddressSpaceGone = true;
        }
    }
}
