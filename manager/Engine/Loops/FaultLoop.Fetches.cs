using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Pages on their way from slow sources: issued here, and handed back here.</content>
internal sealed partial class FaultLoop
{
    private readonly Stack<FetchTicket> _spareTickets = new();
    private readonly List<FetchTicket> _tickets = [];
    private long _nextTicket = long.MaxValue;
    private int _atWorkers;

    private void StartFetch(in FaultContext fault, ulong start, int length)
    {
        FetchTicket? ticket = TryIssue(fault.Session, fault.Region, start, length, out DeferralReason reason);
        if (ticket is null)
        {
            // Nothing was claimed but, for an image, the page: give it back, or nobody could ever fill it.
            if (fault.Region.Image is { CanFill: true } claimed)
            {
                claimed.EndClaim(fault.Region.OffsetOf(fault.Page), filled: false);
            }

            DeferOrGiveUp(in fault, reason, reason == DeferralReason.NoMemory
                ? "the manager has no memory to fetch it"
                : "the tenant has as much in flight as it may, and its sources do not answer");

            return;
        }

        _ = fault.Session.Pages.TrySetPage(fault.Page, fault.Region.PageBytes, PageState.InFlight | PageState.Waited | (fault.State & (PageState.Suspect | PageState.Dirty)));
        ticket.ReadAt = fault.ReadAt;
        ticket.Deadline = DeadlineOf(fault.Region.Policy, fault.Since);
        Submit(ticket);
    }

    private FetchTicket? TryIssue(Session session, Region region, ulong start, int length, out DeferralReason reason, bool isAhead = false)
    {
        reason = DeferralReason.InFlightLimit;
        TenantLimits limits = session.Tenant.Limits;
        int pages = length / PageSize.Base;
        if (!(isAhead ? session.Tenant.Usage.TryAddFetchAhead(pages, limits) : session.Tenant.Usage.TryAddFetch(pages, limits.PagesInFlight, limits.FetchQueueDepth)))
        {
            return null;
        }

        reason = DeferralReason.NoMemory;
        nuint buffer = _buffers.TryRent(length, out int capacity);

        // Whoever asks takes pages that are alike.
        PageState noted = session.Pages.Get(start) & PageState.Dirty;
        if (buffer == 0 || !session.Pages.TrySetRange(start, start + (ulong)length, PageState.InFlight | noted))
        {
            if (buffer != 0)
            {
                _buffers.Return(buffer, capacity);
            }

            session.Tenant.Usage.RemoveFetch(pages);
            return null;
        }

        FetchTicket ticket = TakeTicket(session, region, region.Image?.Source ?? region.Source, buffer, capacity);
        ticket.Image = region.Image is { CanFill: true } fillable ? fillable.AddReference() : null;
        ticket.Start = start;
        ticket.Length = length;
        ticket.Offset = region.Image is SharedImage image ? image.SourceOffsetOf(region.OffsetOf(start)) : region.OffsetOf(start);
        return ticket;
    }

    private FetchTicket TakeTicket(Session session, Region region, PageSource source, nuint buffer, int capacity)
    {
        FetchTicket ticket = _spareTickets.TryPop(out FetchTicket? spare) ? spare : new FetchTicket();
        ticket.Session = session;
        ticket.Region = region;
        ticket.Loop = this;
        ticket.Source = source.AddReference();
        ticket.Job = null;

        // What it brought for its last user is nobody's any more.
        ticket.Pages = default;
        ticket.Attempts = 0;
        ticket.PoolExhaustionTold = false;
        ticket.ReadAt = 0;
        ticket.Deadline = long.MaxValue;
        ticket.Buffer = buffer;
        ticket.BufferBytes = capacity;
        _tickets.Add(ticket);
        session.Tickets.Add(ticket);
        return ticket;
    }

    private void Submit(FetchTicket ticket)
    {
        ticket.ReleasePages();
        ticket.Phase = FetchPhase.AtWorker;
        _atWorkers++;
        ticket.QueuedAt = _now;
        _nextVerdict = Math.Min(_nextVerdict, ticket.Deadline);
        _engine.Fetches.Enqueue(ticket);
    }

    // A fault has joined a page that is in flight, perhaps for nobody so far: from now on there is a deadline.
    private void Join(Session session, Region region, ulong page, long readAt, long since)
    {
        foreach (FetchTicket ticket in session.Tickets)
        {
            if (ticket.Batch is not null || page < ticket.Start || page >= ticket.End)
            {
                continue;
            }

            if (ticket.Job is not null)
            {
                // Asked for ahead, so that nobody has told of a touch.
                NoteTouch(session, region, page, page, (int)region.PageBytes);
            }

            if (ticket.Deadline == long.MaxValue)
            {
                ticket.ReadAt = readAt;
                ticket.Deadline = DeadlineOf(region.Policy, since);
                _nextVerdict = Math.Min(_nextVerdict, ticket.Deadline);
            }
        }
    }

    private void FinishFetch(FetchTicket ticket)
    {
        Session session = ticket.Session;
        _atWorkers--;
        session.Counters.FetchesStarted++;
        session.Counters.FetchWaitNanoseconds += ticket.StartedAt - ticket.QueuedAt;
        if (ticket.LeftOut > 0 && ticket.Result == Errno.OK && ticket.Phase != FetchPhase.Abandoned && !TryLeaveOut(ticket))
        {
            session.Counters.Fetches[(int)FetchOutcome.Fetched]++;
            return;
        }

        if (ticket.Result == Errno.OK && ticket.Batch is null && !TryTrim(ticket))
        {
            // Asked for again at once it would say the same, for ever; as a failure it meets the backoff and the deadline.
            ticket.Result = Errno.EIO;
        }

        if (ticket.Image is SharedImage image)
        {
            long offset = ticket.Region.OffsetOf(ticket.Start);
            bool stored = ticket.Result == Errno.OK && image.Store(offset, ticket.Pages.Address, ticket.Length) == Errno.OK;
            if (stored)
            {
                // Who is told that the image has the page may want to give up what it came from.
                ticket.ReleaseBytes();
            }

            if (stored || ticket.Phase == FetchPhase.Abandoned)
            {
                image.EndClaim(offset, stored);
            }
            else if (ticket.Result == Errno.OK)
            {
                ticket.Result = Errno.ENOMEM;
            }
        }

        if (ticket.Phase == FetchPhase.Abandoned)
        {
            session.Counters.Fetches[(int)FetchOutcome.Discarded]++;
            Recycle(ticket);
            return;
        }

        ticket.Phase = FetchPhase.Installing;
        ticket.DueAt = _now;
        if (ticket.Result != Errno.OK)
        {
            session.Counters.Fetches[(int)FetchOutcome.Failed]++;
            if (ticket.Batch is null)
            {
                RetryOrJudge(ticket);
            }

            return;
        }

        session.Counters.Fetches[(int)FetchOutcome.Fetched]++;
        if (ticket.Batch is null && (ticket.Job is null || ticket.Deadline != long.MaxValue))
        {
            Install(ticket, int.MaxValue);
        }
    }

    // Zeros that nobody has touched stay away: a fault brings them, as it does the pages of memory that a guest has not plugged in, which nobody may touch.
    // Who came to wait meanwhile faults again. False when nothing else is left.
    private bool TryLeaveOut(FetchTicket ticket)
    {
        int leftOut = Math.Min(ticket.LeftOut, ticket.Length);
        ulong end = ticket.Start + (ulong)leftOut;
        ResetInFlight(ticket.Session, ticket.Start, end);
        if (end == ticket.End)
        {
            ticket.Phase = FetchPhase.Installing;
            Conclude(ticket, FaultOutcome.Stale);
            return false;
        }

        ticket.Usage.RemovePagesInFlight(leftOut / PageSize.Base);
        ticket.Start = end;
        ticket.Offset += leftOut;
        ticket.Length -= leftOut;
        return true;
    }

    // Cuts an answer to whole pages of the region; false when not one is left.
    private static bool TryTrim(FetchTicket ticket)
    {
        int page = (int)ticket.Region.PageBytes;
        int usable = Math.Min(ticket.Pages.Length, ticket.Length) / page * page;
        ticket.Pages = ticket.Pages with { Length = usable };
        return usable > 0;
    }

    private void Conclude(FetchTicket ticket, FaultOutcome outcome)
    {
        if (ticket.Deadline != long.MaxValue || ticket.Job is null)
        {
            Account(ticket.Session, FaultKind.Missing, outcome, ticket.ReadAt);
        }

        Remove(ticket);
    }

    // Takes a ticket off the books. If a worker still has it, it is thrown away when it comes back.
    private void Remove(FetchTicket ticket)
    {
        _tickets.Remove(ticket);
        ticket.Session.Tickets.Remove(ticket);
        if (ticket.Job is PopulateJob job)
        {
            job.FetchesInFlight--;
        }

        if (ticket.Phase == FetchPhase.AtWorker)
        {
            ticket.Phase = FetchPhase.Abandoned;
            return;
        }

        ticket.Image?.EndClaimIfUnfilled(ticket.Region.OffsetOf(ticket.Start));
        Recycle(ticket);
    }

    private void Abandon(FetchTicket ticket)
    {
        if (ticket.Deadline != long.MaxValue || ticket.Job is null)
        {
            Account(ticket.Session, FaultKind.Missing, FaultOutcome.ClientGone, ticket.ReadAt);
        }

        Remove(ticket);
    }

    private void Recycle(FetchTicket ticket)
    {
        ticket.ReleasePages();
        ReleaseBatch(ticket);
        ticket.Session.Tenant.Usage.RemoveFetch(ticket.PageCount);
        _buffers.Return(ticket.Buffer, ticket.BufferBytes);
        ticket.Source.Dispose();
        ticket.Image?.Dispose();
        ticket.Session = null!;
        ticket.Region = null!;
        ticket.Image = null;
        ticket.Job = null;
        ticket.Buffer = 0;
        _spareTickets.Push(ticket);
    }
}
