using UffdManager.Engine.Sessions;

namespace UffdManager.Engine.Inspection;

/// <summary>A session's numbers at one moment.</summary>
/// <param name="State">Where it stands.</param>
/// <param name="Loop">Index of the fault loop that serves it.</param>
/// <param name="Regions">Regions registered.</param>
/// <param name="RegisteredBytes">Bytes registered.</param>
/// <param name="ResidentBytes">Bytes the manager installed or found present, less those given back.</param>
/// <param name="Faults">Faults read.</param>
/// <param name="CopiedBytes">Bytes installed with contents.</param>
/// <param name="ZeroedBytes">Bytes installed as zeros.</param>
/// <param name="Deferrals">Times a fault had to wait for another try.</param>
/// <param name="PoisonedPages">Pages poisoned.</param>
/// <param name="PagesInFlight">Base pages being fetched.</param>
/// <param name="Deferred">Faults that wait for another try at this moment.</param>
/// <param name="TrackedSince">Since when its changed pages are noted, monotonic nanoseconds; 0 when they are not.</param>
/// <param name="Work">What an operator has under way with it, in words; null for nothing.</param>
public readonly record struct SessionReading(
    SessionState State,
    int Loop,
    int Regions,
    ulong RegisteredBytes,
    long ResidentBytes,
    long Faults,
    long CopiedBytes,
    long ZeroedBytes,
    long Deferrals,
    long PoisonedPages,
    long PagesInFlight,
    int Deferred,
    long TrackedSince,
    string? Work)
{
    // On the loop of the session.
    internal static SessionReading Of(Session session)
    {
        long inFlight = 0;
        foreach (Fetch.FetchTicket ticket in session.Tickets)
        {
            inFlight += ticket.PageCount;
        }

        return new SessionReading(
            session.State,
            session.Loop.Index,
            session.Regions.Count,
            session.Regions.Bytes,
            session.ResidentBytes,
            session.FaultCount,
            session.CopiedBytes,
            session.ZeroedBytes,
            session.DeferralCount,
            session.PoisonedPages,
            inFlight,
            session.Deferred.Count,
            session.TrackedSince,
            session.Work);
    }
}
