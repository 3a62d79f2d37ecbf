using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>What slow sources brought is installed, if the ground that it was fetched for is still there.</content>
internal sealed partial class FaultLoop
{
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
                    if (_turned >= ticket.Deadline)
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
                if (mapping.Replay is WorkingSets.Replay replay)
                {
                    CountPrefetched(replay.Run, length);
                }
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
}
