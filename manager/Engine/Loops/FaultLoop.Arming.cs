using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Write-protecting what is there, and noting that it is.</content>
internal sealed partial class FaultLoop
{
    /// <summary>Protects a part of a region. ENOENT: something else is mapped in it, of which the userfaultfd does not tell.</summary>
    private static Errno Arm(Session session, Region region, PresenceMap presence, ulong start, ulong stop)
    {
        if (!presence.IsSparse(region, start, stop))
        {
            return Userfaultfd.WriteProtect(session.Lease, start, stop - start, protect: true);
        }

        // Where the kernel leaves no marks the protection is one system call for all of it, and pages are looked for only in order to note them.
        bool leavesMarks = LeavesMarks(session, region);
        Errno whole = leavesMarks ? Errno.OK : Userfaultfd.WriteProtect(session.Lease, start, stop - start, protect: true);
        if (whole != Errno.OK)
        {
            return whole;
        }

        // Between the look for pages and their protection only this thread could fill one, and it does not.
        Span<PageRegion> runs = stackalloc PageRegion[64];
        ulong cursor = start;
        while (cursor < stop)
        {
            PagemapScanRequest request = new()
            {
                Start = cursor,
                End = stop,
                AnyOf = PageCategories.Present | PageCategories.Swapped,
                Returned = leavesMarks ? PageCategories.Present | PageCategories.Swapped | PageCategories.Written : PageCategories.Present,
            };
            if (PagemapScan.Scan(presence.Pagemap!, request, runs, out int count, out ulong walked) != Errno.OK || walked <= cursor)
            {
                presence.Tells = false;
                return leavesMarks ? Userfaultfd.WriteProtect(session.Lease, cursor, stop - cursor, protect: true) : Errno.OK;
            }

            Errno errno = leavesMarks ? ProtectRuns(session, region, runs[..count]) : Errno.OK;
            if (errno != Errno.OK)
            {
                return errno;
            }

            foreach (PageRegion run in runs[..count])
            {
                if ((!leavesMarks || IsThere(run.Categories)) && !TryNotePresent(session, PageSize.AlignDown(run.Start, region.PageBytes), PageSize.AlignUp(run.End, region.PageBytes)))
                {
                    return Errno.ENOMEM;
                }
            }

            cursor = walked;
        }

        // A change of the address space would have been refused; where there was nothing to protect it has not been asked for.
        return Userfaultfd.IsChanging(session.Lease) ? Errno.EAGAIN : Errno.OK;
    }

    // Whether to protect a missing page leaves something in its place (userfaultfd_wp_use_markers of include/linux/userfaultfd_k.h; hugetlb_change_protection does so always).
    private static bool LeavesMarks(Session session, Region region) =>
        region.IsHuge || region.Image is not null || (session.Features & UffdFeatures.WpUnpopulated) != 0;

    private static Errno ProtectRuns(Session session, Region region, ReadOnlySpan<PageRegion> runs)
    {
        for (int i = 0; i < runs.Length; i++)
        {
            // Neighbours of other categories are runs of their own.
            ulong from = PageSize.AlignDown(runs[i].Start, region.PageBytes);
            while (i + 1 < runs.Length && runs[i + 1].Start == runs[i].End)
            {
                i++;
            }

            Errno errno = Userfaultfd.WriteProtect(session.Lease, from, PageSize.AlignUp(runs[i].End, region.PageBytes) - from, protect: true);
            if (errno != Errno.OK)
            {
                return errno;
            }
        }

        return Errno.OK;
    }

    // The mark of a missing page that is protected looks like a page in swap that is protected; only what is surely a page counts as one.
    private static bool IsThere(PageCategories categories) =>
        (categories & PageCategories.Present) != 0 || (categories & (PageCategories.Swapped | PageCategories.Written)) == (PageCategories.Swapped | PageCategories.Written);

    // What is there without our knowledge (from before it was registered; written after MADV_FREE) has contents that would be lost unseen when it is given back.
    private static bool TryNotePresent(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.StateMask) is PageState.Absent or PageState.Removed && (state & (PageState.Deferred | PageState.Suspect)) == 0)
            {
                if (!session.Pages.TrySetRange(cursor, stop, PageState.Present | (state & PageState.Dirty)))
                {
                    return false;
                }

                AddResident(session, (long)(stop - cursor));
            }

            cursor = stop;
        }

        return true;
    }
}
