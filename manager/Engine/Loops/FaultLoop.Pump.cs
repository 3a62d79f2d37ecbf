using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Reading userfaultfds: events of each batch first, then its faults, each once.</content>
internal sealed partial class FaultLoop
{
    // Each attempt reads /proc three times; a child of another pid namespace is never found that way.
    private const int MaximumIdentifyAttempts = 16;

    // A client that makes events as fast as we read them must not keep the loop for itself.
    private const int MaximumRounds = 32;

    /// <summary>Drains a userfaultfd: events of each batch are applied first, its faults served afterwards.</summary>
    private void Pump(Session session)
    {
        for (int round = 0; round < MaximumRounds && session.State != SessionState.Ended; round++)
        {
            if (!MayRead(session))
            {
                Mute(session);
                break;
            }

            int read = Userfaultfd.Read(session.Lease, session.Ledger.Inbox(MessageBatch), out Errno errno);
            if (read == 0)
            {
                if (errno is Errno.EMFILE or Errno.ENFILE or Errno.ENOMEM)
                {
                    Mute(session);
                }

                break;
            }

            // A batch that is not full has emptied the queue. What arrives after that keeps the descriptor readable, and if it is an
            // event the kernel refuses to fill until it is read: nothing is lost by not asking once more.
            CollectFaults(session, read);
            if (read < MessageBatch || _faultCount + MessageBatch > _faults.Length)
            {
                break;
            }
        }

        ServeCollected(session);
        if (session.State != SessionState.Ended)
        {
            // Not only before a fault: a client that remaps and never faults would make the lists grow.
            ForgetDisplacedIfQuiet(session);
        }
    }

    private void ServeBatch(Session session, int read)
    {
        CollectFaults(session, read);
        ServeCollected(session);
    }

    private void CollectFaults(Session session, int read)
    {
        Span<UffdMessage> messages = session.Ledger.Inbox(MessageBatch);
        CrashPoints.Visit(CrashPoint.EventsRead);
        for (int i = 0; i < read; i++)
        {
            ref UffdMessage message = ref messages[i];
            if (message.Event == UffdEventKind.PageFault)
            {
                _faults[_faultCount++] = new PendingFault { Address = message.Address, Flags = message.Flags, ThreadId = message.ThreadId };
            }
            else
            {
                ApplyEvent(session, ref message);
            }
        }
    }

    private void ServeCollected(Session session)
    {
        // Taken before anything can fail: what is left behind would be served as faults of the next session.
        int count = _faultCount;
        _faultCount = 0;
        if (count == 0)
        {
            return;
        }

        _lastFaulted = session;
        long readAt = _now;
        session.FaultCount += count;
        for (int i = 0; i < count; i++)
        {
            ref PendingFault fault = ref _faults[i];
            if (session.State != SessionState.Serving)
            {
                RefuseFault(session, fault.Address, KindOf(fault.Flags), fault.ThreadId, readAt);
                continue;
            }

            if (session.Pid == 0 && fault.ThreadId != 0 && session.IdentifyAttempts++ < MaximumIdentifyAttempts)
            {
                FaultEngine.TryIdentifyForked(this, session, (int)fault.ThreadId);
            }

            Serve(session, fault.Address, fault.Flags, readAt, _turned, 0);
        }
    }

    // The client is dying, or is to die as soon as we know who it is, or cannot be killed by us. In the last two cases a poisoned page stops
    // its thread just as surely.
    private void RefuseFault(Session session, ulong address, FaultKind kind, uint threadId, long readAt)
    {
        bool unkilled = session.State == SessionState.Condemned && (session.PidFd is null || session.CannotBeKilled || session.ExitedAt != 0);
        if (unkilled && threadId != 0 && session.PidFd is null)
        {
            unkilled = !FaultEngine.TryIdentifyForked(this, session, (int)threadId);
        }

        if (unkilled && Stop(session, address) is InstallOutcome.Changing or InstallOutcome.NoMemory)
        {
            Defer(session, address, UffdFaultFlags.None, readAt, 1, DeferralReason.Changing, _now + MaximumChangingBackoff);
            return;
        }

        Account(session, kind, session.State == SessionState.Ended ? FaultOutcome.ClientGone : FaultOutcome.ClientKilled, readAt);
    }

    // Of a child that was refused nothing is known, not even the size of its pages: EINVAL says that it was not the base page.
    private static InstallOutcome Stop(Session session, ulong address)
    {
        Errno errno = PoisonOverMark(session, PageSize.AlignDown(address, (ulong)PageSize.Base), (ulong)PageSize.Base);
        if (errno == Errno.EINVAL)
        {
            errno = PoisonOverMark(session, PageSize.AlignDown(address, ScratchBytes), ScratchBytes);
        }

        return InstallOutcomes.From(errno);
    }
}
