using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>What becomes of pages that do not come: tried again, and judged when their time is over.</content>
internal sealed partial class FaultLoop
{
    private const long MaximumRetryBackoff = 1_000_000_000;

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

        // Without its neighbours the page may be had: at once, because nobody has asked for it alone.
        if (TryNarrow(ticket))
        {
            Submit(ticket);
            return;
        }

        Policy policy = ticket.Policy;
        long backoff = Math.Min((long)policy.RetryBackoff.TotalNanoseconds << Math.Min(ticket.Attempts - 1, 20), MaximumRetryBackoff);

        // Beyond the end of the source, and in a file that has become another, there is nothing that a later attempt could find.
        bool hopeless = ticket.Result is Errno.ENXIO or Errno.ESTALE && policy.OnUnavailable != Verdict.Wait;
        if (hopeless || _turned + backoff >= ticket.Deadline)
        {
            Judge(ticket, $"{ticket.Source.Description} at offset {ticket.Offset}: {ticket.Result.Describe()} after {ticket.Attempts} attempts");
            return;
        }

        ticket.Phase = FetchPhase.Backoff;
        ticket.DueAt = _now + backoff;
        _nextTicket = Math.Min(_nextTicket, ticket.DueAt);
        _nextVerdict = Math.Min(_nextVerdict, ticket.Deadline);
    }

    private void CheckTickets()
    {
        // An answer that is here by now is not too late, even if its bell is still to be heard.
        while (_turned >= _nextVerdict && _completed.TryDequeue(out FetchTicket? completed))
        {
            FinishFetch(completed);
        }

        _nextTicket = long.MaxValue;
        _nextVerdict = long.MaxValue;
        for (int i = _tickets.Count - 1; i >= 0; i--)
        {
            FetchTicket ticket = _tickets[i];
            if (ticket.Deadline <= _turned && (ticket.Phase is FetchPhase.AtWorker or FetchPhase.Backoff))
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
                _nextTicket = ticket.Phase == FetchPhase.AtWorker ? _nextTicket : Math.Min(_nextTicket, ticket.DueAt);
                _nextVerdict = ticket.Phase == FetchPhase.Installing ? _nextVerdict : Math.Min(_nextVerdict, ticket.Deadline);
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
            GiveUp(new FaultContext(session, region, page, UffdFaultFlags.None, FaultKind.Missing, PageState.Absent, ticket.ReadAt, _turned, 0), why);
        }
    }
}
