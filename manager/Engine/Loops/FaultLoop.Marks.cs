using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Pages that are not there, and protected all the same.</content>
/// <remarks>
/// To protect a missing page leaves a mark in the client's page table (UFFD_FEATURE_WP_UNPOPULATED), which a forked child inherits although nobody tracks it. UFFDIO_COPY and UFFDIO_CONTINUE put
/// a page in its place. UFFDIO_ZEROPAGE and UFFDIO_POISON take it for a page (EEXIST, mm/userfaultfd.c), and its waiter, woken, would fault again for ever.
/// </remarks>
internal sealed partial class FaultLoop
{
    // A range stays registered for write protection when the tracking or the snapshot that needed it is over.
    private static bool MayHaveMark(Region region) => (region.Modes & UffdRegisterModes.WriteProtect) != 0;

    private static UffdResult PoisonOverMark(Session session, Region region, ulong page)
    {
        UffdResult result = Userfaultfd.Poison(session.Lease, page, region.PageBytes);
        if (result.Errno != Errno.EEXIST || !MayHaveMark(region) || (region.IsTracked && !TryNoteDirty(session, region, page)))
        {
            return result;
        }

        Errno lifted = Userfaultfd.WriteProtect(session.Lease, page, region.PageBytes, protect: false);
        return lifted == Errno.OK ? Userfaultfd.Poison(session.Lease, page, region.PageBytes) : result with { Errno = lifted };
    }

    // The same where nothing is known of the region.
    private static Errno PoisonOverMark(Session session, ulong start, ulong length)
    {
        Errno errno = Userfaultfd.Poison(session.Lease, start, length).Errno;
        return errno == Errno.EEXIST && Userfaultfd.WriteProtect(session.Lease, start, length, protect: false) == Errno.OK
            ? Userfaultfd.Poison(session.Lease, start, length).Errno
            : errno;
    }
}
