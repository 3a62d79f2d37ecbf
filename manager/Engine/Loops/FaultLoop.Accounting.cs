using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Counting. Plain additions to arrays that only this thread writes.</content>
internal sealed partial class FaultLoop
{
    private static FaultKind KindOf(UffdFaultFlags flags) =>
        (flags & UffdFaultFlags.WriteProtect) != 0 ? FaultKind.WriteProtect
        : (flags & UffdFaultFlags.Minor) != 0 ? FaultKind.Minor
        : FaultKind.Missing;

    private void Account(Session session, FaultKind kind, FaultOutcome outcome, long readAt)
    {
        session.Counters.CountFault(kind, outcome);
        if (outcome is FaultOutcome.Duplicate or FaultOutcome.Held)
        {
            // Its time is that of what it waits for; a spinning thread would fill the ring with nothing.
            return;
        }

        long now = MonotonicClock.NowNanoseconds;
        _lastClock = now;
        Samples.Write(new FaultSample
        {
            DurationNanoseconds = now - readAt,
            EndedAt = now,
            Tenant = session.Counters.Index,
            Session = (uint)session.Id,
            Kind = kind,
            Outcome = outcome,
        });
    }

    private static void AddResident(Session session, long bytes)
    {
        session.ResidentBytes += bytes;
        session.Counters.ResidentBytes += bytes;
    }

    private static void AddCopied(Session session, long bytes)
    {
        session.CopiedBytes += bytes;
        session.Counters.CopiedBytes += bytes;
    }

    private static void AddZeroed(Session session, long bytes)
    {
        session.ZeroedBytes += bytes;
        session.Counters.ZeroedBytes += bytes;
    }
}
