using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>What a window around a page could not bring, the page alone may.</content>
internal sealed partial class FaultLoop
{
    // Keeps the first page that somebody waits for, and lets the others go: who waits for one of them asks again, for a window of its own.
    private static bool TryNarrow(FetchTicket ticket)
    {
        ulong pageBytes = ticket.Region.PageBytes;
        if ((ulong)ticket.Length <= pageBytes || ticket.Batch is not null || ticket.Image is not null || FindWaited(ticket) is not ulong page)
        {
            return false;
        }

        Session session = ticket.Session;
        (ulong start, ulong end) = (ticket.Start, ticket.End);
        session.Tenant.Usage.RemovePagesInFlight(ticket.PageCount - ((int)pageBytes / PageSize.Base));
        ticket.Offset += (long)(page - start);
        ticket.Start = page;
        ticket.Length = (int)pageBytes;
        if (page > start)
        {
            ResetInFlight(session, start, page);
        }

        if (end > ticket.End)
        {
            ResetInFlight(session, ticket.End, end);
        }

        if (ticket.Job is PopulateJob job)
        {
            job.Cursor = Math.Min(job.Cursor, start);
        }

        return true;
    }

    private static ulong? FindWaited(FetchTicket ticket)
    {
        ulong cursor = ticket.Start;
        while (ticket.Session.Pages.NextRun(cursor, ticket.End, out ulong stop, out PageState state))
        {
            Region? region = RegionOf(ticket, cursor, ref stop);
            if (region is not null && (state & PageState.StateMask) == PageState.InFlight && (state & PageState.Waited) != 0)
            {
                return cursor;
            }

            cursor = stop;
        }

        return null;
    }
}
