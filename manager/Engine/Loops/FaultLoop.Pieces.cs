using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Registering for write protection where a client may map something over the range meanwhile, without an event.</content>
/// <remarks>
/// UFFDIO_REGISTER takes whatever is mapped in its range. What was mapped over since the mappings were looked at would come in unseen, and show its source where the client has zeros. So each piece is asked after right before it is registered:
/// an UFFDIO_COPY that changes nothing is refused (ENOENT) unless all of its range is one mapping that is registered. Between the two system calls another thread of the client may still map over it; nothing tells that.
/// </remarks>
internal sealed partial class FaultLoop
{
    private static WriteProtectStep AddInPieces(Session session, Region region, PresenceMap presence, out EngineResult? failure)
    {
        failure = null;
        int probes = ProbesPerSlice;
        ulong cursor = presence.RegisteredBelow(region);
        while (cursor < region.End && probes > 0)
        {
            ulong end = presence.EndOfMapping(region, cursor, out bool isMapped);
            ulong length = PieceAt(session, region, (cursor, end), ref probes, out Errno errno);
            if (errno == Errno.EAGAIN)
            {
                return WriteProtectStep.TryAgain;
            }

            // A hole is left as it is: the next list finds it, and an arming that meets it refuses. What was unmapped at the look, and is not registered now, is nothing of ours.
            WriteProtectStep step = errno == Errno.ENOENT ? WriteProtectStep.Done : AddWriteProtect(session, region, cursor, cursor + length, out failure);
            if (step != WriteProtectStep.Done)
            {
                return step;
            }

            cursor = errno == Errno.ENOENT && !isMapped ? end : cursor + length;
            presence.NoteRegistered(region, cursor, isHole: errno == Errno.ENOENT);
        }

        return cursor < region.End ? WriteProtectStep.Progress : WriteProtectStep.Done;
    }

    // So many bytes from an address on are one mapping that is registered; with ENOENT, one page that is not.
    private static ulong PieceAt(Session session, Region region, (ulong Start, ulong End) range, ref int probes, out Errno errno)
    {
        ulong length = range.End - range.Start;
        while (true)
        {
            probes--;
            errno = Userfaultfd.ProbeFill(session.Lease, range.Start, length);
            if (errno != Errno.ENOENT || length <= region.PageBytes)
            {
                return length;
            }

            length = PageSize.AlignUp(length / 2, region.PageBytes);
        }
    }
}
