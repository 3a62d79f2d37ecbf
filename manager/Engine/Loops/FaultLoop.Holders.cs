using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Who holds a range that somebody else wants.</content>
internal sealed partial class FaultLoop
{
    /// <summary>Who on this loop holds a range that the kernel says is taken from the claimant.</summary>
    public RangeHolder? FindHolder(Session claimant, int claimantParent, ulong start, ulong end)
    {
        foreach (Session session in LiveSessions())
        {
            bool sameProcess = session.Pid == claimant.Pid && session.ProcessStartTime == claimant.ProcessStartTime;
            bool unknownSibling = session.Pid == 0 && session.ParentPid != 0 && session.ParentPid == claimantParent;
            if (session != claimant && (sameProcess || unknownSibling) && session.Regions.FindOverlap(start, end) is Region region)
            {
                return HolderOf(session, region);
            }
        }

        return null;
    }

    private static EngineError Taken(Session session, RegisterRequest request)
    {
        session.Counters.KernelConflicts++;
        RangeHolder outside = new(0, 0, string.Empty, request.Start, request.Length);
        return new EngineError(EngineErrorKind.Conflict, Errno.EBUSY, RegisterChecks.ConflictText(request, outside), outside);
    }

    private static RangeHolder? FindConflict(Session session, ulong start, ulong end)
    {
        if (session.Space is not AddressSpace space)
        {
            return null;
        }

        foreach (Session other in space.Sessions)
        {
            if (other != session && other.Regions.FindOverlap(start, end) is Region held)
            {
                return HolderOf(other, held);
            }
        }

        return null;
    }

    private static RangeHolder HolderOf(Session session, Region region) => new(session.Id, session.Pid, session.Tenant.Name, region.Start, region.Length);
}
