using UffdManager.Engine.Regions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// Huge pages whose installation the kernel answered with EEXIST: they are there without our doing, or the pool is empty. Who waits for one is sent round once, and tells by not coming back. Of what is installed ahead
/// nobody tells.
/// </content>
internal sealed partial class FaultLoop
{
    // Whether the pool was empty for some page of a job, as far as that can be known: where we may not look, it is taken to have been.
    private static bool HasSuspects(PopulateJob job)
    {
        if (job.Session.Regions.FindOverlap(job.Start, job.End) is not Region { IsHuge: true } || !FindSuspect(job, job.Start, out _, out _))
        {
            return false;
        }

        try
        {
            using SafeFile pagemap = PagemapScan.OpenPagemap(job.Session.Pid);
            return HasAbsentSuspects(job, pagemap);
        }
        catch (SyscallException)
        {
            return true;
        }
    }

    private static bool HasAbsentSuspects(PopulateJob job, SafeFile pagemap)
    {
        Span<PageRegion> found = stackalloc PageRegion[1];
        bool isAnyAbsent = false;
        ulong cursor = job.Start;
        while (FindSuspect(job, cursor, out cursor, out ulong stop))
        {
            if (job.Session.Regions.Find(cursor) is not Region region)
            {
                cursor = stop;
                continue;
            }

            PagemapScanRequest request = new()
            {
                Start = cursor,
                End = cursor + region.PageBytes,
                Required = PageCategories.Present,
                Returned = PageCategories.Present,
            };
            Errno errno = PagemapScan.Scan(pagemap, request, found, out int count, out _);
            if (errno == Errno.OK && count > 0 && !Userfaultfd.IsChanging(job.Session.Lease))
            {
                MarkPresent(job.Session, region, cursor, cursor + region.PageBytes);
            }
            else
            {
                isAnyAbsent = true;
            }

            cursor += region.PageBytes;
        }

        return isAnyAbsent;
    }

    private static bool FindSuspect(PopulateJob job, ulong from, out ulong start, out ulong stop)
    {
        start = from;
        while (job.Session.Pages.NextRun(start, job.End, out stop, out PageState state))
        {
            if ((state & PageState.Suspect) != 0)
            {
                return true;
            }

            start = stop;
        }

        return false;
    }
}
