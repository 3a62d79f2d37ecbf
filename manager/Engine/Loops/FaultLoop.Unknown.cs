using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// Faults at addresses of which we know no region that can fault so. The kernel reported them, so something is registered there, or was: an unmap has overtaken the fault, an event
/// is still to come, mremap has grown a region (of which no event tells), or the client has registered the range without us.
/// </content>
/// <remarks>
/// <para>
/// Whether anything is registered there now is asked of the kernel first, by a fill that cannot succeed. If not, the fault is over: its thread finds out when woken. If so, a look at the client's mappings
/// tells whether a region has grown there, and that costs far more than a fault: after one that found nothing the next has to wait, so that all of them together take
/// a small part of the loop's time. Who faults meanwhile is put back until then. To wake him would bring the same fault again at once: he would spin.
/// </para>
/// <para>
/// A client is given up for a page that has stayed so (<see cref="StrangePages"/>). Neither a slow machine nor a client that changes its mappings all the time comes there.
/// </para>
/// </remarks>
internal sealed partial class FaultLoop
{
    private const long LookAgainNanoseconds = 2_000_000;

    // Looks that find nothing may take one part in so many of the loop's time.
    private const long LookShare = 50;

    /// <returns>The region that was found after all; null when there is nothing more to do for the fault now.</returns>
    private Region? FindUnknown(Session session, Region? other, ulong address, UffdFaultFlags flags, long readAt, int attempts)
    {
        FaultKind kind = KindOf(flags);
        ulong page = PageSize.AlignDown(address, (ulong)PageSize.Base);
        if ((session.Pages.Get(page) & PageState.Deferred) != 0)
        {
            Account(session, kind, FaultOutcome.Duplicate, readAt);
            return null;
        }

        switch (Userfaultfd.ProbeFill(session.Lease, page, (ulong)PageSize.Base))
        {
            case Errno.EAGAIN:
                // What the event says that is still to come may be that a region has moved here: no growth, but it looks like it until the event is read.
                DeferUncertain(session, page, flags, readAt, attempts);
                return null;
            case Errno.ENOENT or Errno.ESRCH:
                LetGoUnknown(session, page, kind, readAt);
                return null;
            default:
                break;
        }

        if (_now < session.NextLookAt)
        {
            Defer(session, page, flags, readAt, attempts + 1, DeferralReason.UnknownRange, session.NextLookAt);
            return null;
        }

        GrowthAnswer answer = LookAt(session, other, address, out Region? grown);
        if (grown is not null && (grown.Modes & ModeOf(kind)) != 0)
        {
            return grown;
        }

        if (answer == GrowthAnswer.Unsure)
        {
            DeferUncertain(session, page, flags, readAt, attempts);
            return null;
        }

        LetGoUnknown(session, page, kind, readAt);
        session.Strange ??= new StrangePages();
        if (session.Strange.Note(page, readAt, MonotonicClock.NowNanoseconds, _engine.UnknownRangePatience))
        {
            Kill(session, address, "faults again and again in a range that was registered without the manager");
        }

        return null;
    }

    private void LetGoUnknown(Session session, ulong page, FaultKind kind, long readAt)
    {
        _ = Userfaultfd.Wake(session.Lease, page, (ulong)PageSize.Base);
        Account(session, kind, FaultOutcome.Stale, readAt);
    }

    // A known region that cannot fault in this way needs no look: it is as strange as a mapping of which we know nothing.
    private GrowthAnswer LookAt(Session session, Region? other, ulong address, out Region? grown)
    {
        grown = null;
        long began = MonotonicClock.NowNanoseconds;
        GrowthAnswer answer = other is null ? Growth.Find(session, address, out grown) : GrowthAnswer.Unconnected;
        long ended = MonotonicClock.NowNanoseconds;
        if (grown is not null)
        {
            CheckRecorded(session);
            session.NextLookAt = 0;
            return answer;
        }

        session.NextLookAt = ended + Math.Max(LookAgainNanoseconds, (ended - began) * LookShare);
        return answer;
    }
}
