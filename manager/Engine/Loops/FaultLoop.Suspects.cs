using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// Huge pages whose installation the kernel answered with EEXIST: they are there without our doing, or the pool is empty. Who waits for one is sent round once, and tells by not coming back. Of what is installed ahead
/// nobody tells.
/// </content>
internal sealed partial class FaultLoop
{
    // Looked at in some 50 us: a GiB of the smaller ones. The pool may be empty for very many.
    private const ulong SuspectsPerSlice = 512;

    // Whether there is nothing left to ask, after a slice of asking whether the pool was empty for some page of a job. Where we may not look, it is taken to have been.
    private bool HasAskedForSuspects(PopulateJob job)
    {
        if (job.Error is not null || job.Session.State != SessionState.Serving || job.Session.Regions.FindOverlap(job.Start, job.End) is not Region { IsHuge: true })
        {
            return true;
        }

        if (!FindSuspect(job, job.SuspectCursor, out ulong start, out ulong stop))
        {
            job.Error = job.IsPoolEmpty ? PoolIsEmpty() : null;
            return true;
        }

        if (job.Session.Regions.Find(start) is not Region region)
        {
            job.SuspectCursor = stop;
            return false;
        }

        if (!TryAskForSuspects(job, region, start, Math.Min(Math.Min(job.End, region.End), start + (SuspectsPerSlice * region.PageBytes))))
        {
            job.Error = PoolIsEmpty();
            return true;
        }

        return false;
    }

    private bool TryAskForSuspects(PopulateJob job, Region region, ulong start, ulong stop)
    {
        Span<PageRegion> found = stackalloc PageRegion[64];
        PagemapScanRequest request = new()
        {
            Start = start,
            End = stop,
            Required = PageCategories.Present,
            Returned = PageCategories.Present,
        };
        int count;
        ulong walked;
        try
        {
            using SafeFile pagemap = PagemapScan.OpenPagemap(job.Session.Pid);
            if (PagemapScan.Scan(pagemap, request, found, out count, out walked) != Errno.OK || walked <= start)
            {
                return false;
            }
        }
        catch (SyscallException)
        {
            return false;
        }

        if (Userfaultfd.IsChanging(job.Session.Lease))
        {
            job.DueAt = _now + FirstChangingBackoff;
            return true;
        }

        int next = 0;
        for (ulong page = start; page < walked; page += region.PageBytes)
        {
            while (next < count && found[next].End <= page)
            {
                next++;
            }

            bool isThere = next < count && found[next].Start <= page;
            if ((job.Session.Pages.Get(page) & PageState.Suspect) == 0)
            {
                continue;
            }

            if (isThere)
            {
                MarkPresent(job.Session, region, page, page + region.PageBytes);
            }

            job.IsPoolEmpty |= !isThere;
        }

        job.SuspectCursor = walked;
        return true;
    }

    private static EngineError PoolIsEmpty() => new(EngineErrorKind.Kernel, Errno.ENOMEM, "the pool of huge pages is empty: raise vm.nr_hugepages");

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
