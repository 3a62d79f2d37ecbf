using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Pages on their way from slow sources: issued here, handed back here, and judged here when they do not come.</content>
internal sealed partial class FaultLoop
{
    private const long MaximumRetryBackoff = 1_000_000_000;

    // A loop that is so much later than it wanted to be was not running.
    private const long StandstillNanoseconds = 500_000_000;

    private readonly Stack<FetchTicket> _spareTickets = new();
    private readonly List<FetchTicket> _tickets = [];
    private long _nextTicket = long.MaxValue;
    private int _atWorkers;

    private void StartFetch(in FaultContext fault, ulong start, int length)
    {
        Policy policy = fault.Region.Policy;
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
        ticket.Deadline = DeadlineOf(policy, fault.ReadAt);
        Submit(ticket);
    }

    private static long DeadlineOf(Policy policy, long readAt) =>
        policy.OnUnavailable == Verdict.Wait ? long.MaxValue : readAt + (long)policy.Deadline.TotalNanoseconds;

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
        _nextTicket = Math.Min(_nextTicket, ticket.Deadline);
        _engine.Fetches.Enqueue(ticket);
    }

    // A fault has joined a page that is in flight, perhaps for nobody so far: from now on there is a deadline.
    private void Join(Session session, Region region, ulong page, long readAt)
    {
        foreach (FetchTicket ticket in session.Tickets)
        {
            if (ticket.Batch is null && page >= ticket.Start && page < ticket.End && ticket.Deadline == long.MaxValue)
            {
                ticket.ReadAt = readAt;
                ticket.Deadline = DeadlineOf(region.Policy, readAt);
                _nextTicket = Math.Min(_nextTicket, ticket.Deadline);
            }
        }
    }

    private void FinishFetch(FetchTicket ticket)
    {
        Session session = ticket.Session;
        _atWorkers--;
        session.Counters.FetchesStarted++;
        session.Counters.FetchWaitNanoseconds += ticket.StartedAt - ticket.QueuedAt;
        if (ticket.Result == Errno.OK && ticket.Batch is null && !TryTrim(ticket))
        {
            // Asked for again at once it would say the same, for ever; as a failure it meets the backoff and the deadline.
            ticket.Result = Errno.EIO;
        }

        if (ticket.Image is SharedImage image)
        {
            long offset = ticket.Region.OffsetOf(ticket.Start);
            bool stored = ticket.Result == Errno.OK && image.Store(offset, ticket.Pages.Address, ticket.Length) == Errno.OK;
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

    // Cuts an answer to whole pages of the region; false when not one is left.
    private static bool TryTrim(FetchTicket ticket)
    {
        int page = (int)ticket.Region.PageBytes;
        int usable = Math.Min(ticket.Pages.Length, ticket.Length) / page * page;
        ticket.Pages = ticket.Pages with { Length = usable };
        return usable > 0;
    }

    /// <summary>Installs what a ticket brought, at most so many bytes; the rest stays in flight.</summary>
    private void Install(FetchTicket ticket, int budget)
    {
        Session session = ticket.Session;
        ulong end = ticket.Start + (ulong)Math.Min(ticket.Length, ticket.Pages.Length);
        ulong cursor = ticket.Start;
        bool isVoid = true;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            // The ground may have moved under some of the pages: unmapped, or registered anew with other contents. The event that moved it has
            // reset them and woken their waiters.
            Region? region = RegionOf(ticket, cursor, ref stop);
            isVoid &= region is null || (state & PageState.StateMask) is not (PageState.InFlight or PageState.Present);
            if (region is null || (state & PageState.StateMask) != PageState.InFlight)
            {
                if (region is not null && (state & PageState.StateMask) is PageState.Removed or PageState.Absent)
                {
                    // Given back while it was fetched: what came is stale. Its waiters fault again and get what it is now.
                    _ = Userfaultfd.Wake(session.Lease, cursor, stop - cursor);
                }

                cursor = stop;
                continue;
            }

            if (budget <= 0)
            {
                ticket.DueAt = _now;
                return;
            }

            ulong length = Math.Min(stop - cursor, Math.Max((ulong)budget, region.PageBytes));
            InstallOutcome outcome = InstallRun(ticket, region, cursor, length);
            switch (outcome)
            {
                case InstallOutcome.Installed or InstallOutcome.AlreadyPresent:
                    budget -= (int)length;
                    cursor = ResumeAfter(session, cursor, cursor + length);
                    break;
                case InstallOutcome.Stale:
                    _ = session.Pages.TrySetPage(cursor, region.PageBytes, state & PageState.Dirty);
                    cursor += region.PageBytes;
                    break;
                case InstallOutcome.Changing:
                    ticket.DueAt = MonotonicClock.NowNanoseconds + FirstChangingBackoff;
                    _nextTicket = Math.Min(_nextTicket, ticket.DueAt);
                    return;
                case InstallOutcome.NoMemory or InstallOutcome.HugePoolEmpty:
                    TellPoolExhausted(ticket, outcome, cursor);
                    ticket.DueAt = MonotonicClock.NowNanoseconds + FirstScarcityBackoff;
                    _nextTicket = Math.Min(_nextTicket, ticket.DueAt);
                    if (MonotonicClock.NowNanoseconds >= ticket.Deadline)
                    {
                        Judge(ticket, "no memory is left for it");
                    }

                    return;
                case InstallOutcome.ClientGone:
                    Conclude(ticket, FaultOutcome.ClientGone);
                    return;
                default:
                    ticket.Result = Errno.EIO;
                    RetryOrJudge(ticket);
                    return;
            }
        }

        if (end < ticket.End)
        {
            // The source had less than was asked for: what nobody has brought can be asked for again.
            ResetInFlight(session, end, ticket.End);
            if (ticket.Job is PopulateJob job)
            {
                job.Cursor = Math.Min(job.Cursor, end);
            }
        }

        if (isVoid)
        {
            session.Counters.Fetches[(int)FetchOutcome.Discarded]++;
            Conclude(ticket, FaultOutcome.Stale);
            return;
        }

        Conclude(ticket, ticket.Image is null ? FaultOutcome.Copied : FaultOutcome.Continued);
    }

    // The region of a ticket's page if it is still the registration that the fetch was started for; cuts the run at its border.
    private static Region? RegionOf(FetchTicket ticket, ulong address, ref ulong stop) => RegionOf(ticket.Session, ticket.Region, address, ref stop);

    private static Region? RegionOf(Session session, Region registered, ulong address, ref ulong stop)
    {
        Region? region = session.Regions.Find(address);
        if (region is null)
        {
            Region? next = session.Regions.FindOverlap(address, stop);
            stop = next?.Start ?? stop;
            return null;
        }

        stop = Math.Min(stop, region.End);
        bool isSame = region.Generation == registered.Generation && region.OffsetOf(address) == registered.OffsetOf(address);
        return isSame ? region : null;
    }

    private void TellPoolExhausted(FetchTicket ticket, InstallOutcome outcome, ulong page)
    {
        if (outcome == InstallOutcome.HugePoolEmpty && !ticket.PoolExhaustionTold)
        {
            ticket.PoolExhaustionTold = true;
            _engine.Publish(new HugePoolExhausted(_now, ticket.Session, page));
        }
    }

    private InstallOutcome InstallRun(FetchTicket ticket, Region region, ulong start, ulong length)
    {
        Session session = ticket.Session;
        if (ticket.Image is not null)
        {
            InstallOutcome mapped = InstallContinue(session, region, start, length);
            if (ticket.Job is PopulateJob mapping && mapped == InstallOutcome.Installed)
            {
                mapping.InstalledBytes += length;
            }

            return mapped;
        }

        nuint address = ticket.Pages.Address + (nuint)(start - ticket.Start);
        InstallOutcome outcome = Fill(session, region, start, start, length, address, CopyMode(session, region, start + length), out ulong installed);
        AddCopied(session, (long)installed);
        Charge(session, installed);
        if (ticket.Job is PopulateJob job)
        {
            job.InstalledBytes += installed;
        }

        return outcome;
    }

    // A window that crossed the border of a mapping was cut to its first page: go on behind what is really done.
    private static ulong ResumeAfter(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state) && (state & PageState.StateMask) != PageState.InFlight)
        {
            cursor = stop;
        }

        return cursor;
    }

    private void RetryOrJudge(FetchTicket ticket)
    {
        ticket.Attempts++;
        _engine.Publish(new SourceFailed(_now, ticket.Session, ticket.Source.Description, ticket.Offset, ticket.Result, ticket.Attempts));
        if (ticket.Job is PopulateJob job && ticket.Deadline == long.MaxValue)
        {
            job.Error ??= new EngineError(EngineErrorKind.Source, ticket.Result, $"{ticket.Source.Description} at offset {ticket.Offset}: {ticket.Result.Describe()}");
            job.Cursor = job.End;
            ResetInFlight(ticket.Session, ticket.Start, ticket.End);
            Remove(ticket);
            return;
        }

        Policy policy = ticket.Policy;
        long backoff = Math.Min((long)policy.RetryBackoff.TotalNanoseconds << Math.Min(ticket.Attempts - 1, 20), MaximumRetryBackoff);

        // Beyond the end of the source, and in a file that has become another, there is nothing that a later attempt could find.
        bool hopeless = ticket.Result is Errno.ENXIO or Errno.ESTALE && policy.OnUnavailable != Verdict.Wait;
        if (hopeless || _now + backoff >= ticket.Deadline)
        {
            Judge(ticket, $"{ticket.Source.Description} at offset {ticket.Offset}: {ticket.Result.Describe()} after {ticket.Attempts} attempts");
            return;
        }

        ticket.Phase = FetchPhase.Backoff;
        ticket.DueAt = _now + backoff;
        _nextTicket = Math.Min(_nextTicket, ticket.DueAt);
    }

    private void CheckTickets()
    {
        if (_now - _nextTicket > StandstillNanoseconds)
        {
            BeginDeadlinesAnew();
        }

        _nextTicket = long.MaxValue;
        for (int i = _tickets.Count - 1; i >= 0; i--)
        {
            FetchTicket ticket = _tickets[i];
            if (ticket.Deadline <= _now && (ticket.Phase is FetchPhase.AtWorker or FetchPhase.Backoff))
            {
                Judge(ticket, $"{ticket.Source.Description} at offset {ticket.Offset} did not answer within the policy's deadline");
                continue;
            }

            if (ticket.Phase == FetchPhase.Backoff && ticket.DueAt <= _now)
            {
                Submit(ticket);
            }
            else if (ticket.Phase == FetchPhase.Installing && ticket.DueAt <= _now && ticket.Job is null)
            {
                Install(ticket, int.MaxValue);
            }

            if (i < _tickets.Count && ReferenceEquals(_tickets[i], ticket))
            {
                _nextTicket = Math.Min(_nextTicket, ticket.Phase == FetchPhase.AtWorker ? ticket.Deadline : Math.Min(ticket.DueAt, ticket.Deadline));
            }
        }
    }

    // This process did not run: stopped, frozen, or its virtual machine was. Of the sources that says nothing; they could not answer either.
    private void BeginDeadlinesAnew()
    {
        foreach (FetchTicket ticket in _tickets)
        {
            if (ticket.Deadline != long.MaxValue)
            {
                ticket.Deadline = DeadlineOf(ticket.Policy, _now);
            }
        }
    }

    // The verdict: those who wait get what the policy says, pages that were only fetched alongside start over.
    private void Judge(FetchTicket ticket, string why)
    {
        Session session = ticket.Session;
        ulong cursor = ticket.Start;
        while (session.Pages.NextRun(cursor, ticket.End, out ulong stop, out PageState state))
        {
            Region? region = RegionOf(ticket, cursor, ref stop);
            bool inFlight = region is not null && (state & PageState.StateMask) == PageState.InFlight;
            if (inFlight && (state & PageState.Waited) != 0)
            {
                JudgeRun(ticket, region!, cursor, stop, why);
            }
            else if (inFlight)
            {
                _ = session.Pages.TrySetRange(cursor, stop, state & PageState.Dirty);
            }

            cursor = stop;
        }

        // Whoever waits for a page that turned into something else meanwhile asks anew.
        _ = Userfaultfd.Wake(session.Lease, ticket.Start, (ulong)ticket.Length);
        Remove(ticket);
    }

    private void JudgeRun(FetchTicket ticket, Region region, ulong start, ulong stop, string why)
    {
        Session session = ticket.Session;
        for (ulong page = start; page < stop && session.State == SessionState.Serving; page += region.PageBytes)
        {
            _ = session.Pages.TrySetPage(page, region.PageBytes, session.Pages.Get(page) & PageState.Dirty);
            GiveUp(new FaultContext(session, region, page, UffdFaultFlags.None, FaultKind.Missing, PageState.Absent, ticket.ReadAt, 0), why);
        }
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
