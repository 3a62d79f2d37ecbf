using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Listing the pages that have changed.</content>
internal sealed partial class FaultLoop
{
    // Some 100 us where each run is protected on its own.
    private const int DirtyRunsPerSlice = 64;

    /// <summary>One slice of listing changed pages.</summary>
    public WriteProtectStep CollectDirty(DirtyPagesCommand job, out EngineResult? failure)
    {
        Session session = job.Session;
        if (!TryPump(session, out failure))
        {
            return WriteProtectStep.Failed;
        }

        if (session.Regions.FindOverlap(job.Cursor, ulong.MaxValue) is not Region region)
        {
            return WriteProtectStep.Done;
        }

        job.Cursor = Math.Max(PageSize.AlignDown(job.Cursor, region.PageBytes), region.Start);
        if (!region.IsTracked)
        {
            job.Cursor = region.End;
            return WriteProtectStep.Progress;
        }

        // What was mapped over has changed, and whoever writes it must be seen from now on.
        WriteProtectStep step = job.Presence is PresenceMap presence ? TakeInHoles(session, region, presence, out failure) : WriteProtectStep.Done;
        if (step != WriteProtectStep.Done)
        {
            return step;
        }

        ulong stop = EndOfSlice(region, job.Cursor);
        if (job.IsAsynchronous && job.ReadUpTo < stop)
        {
            Errno errno = NoteWritten(session, region, job.Presence!.Pagemap!, Math.Max(job.Cursor, job.ReadUpTo), stop);
            if (errno != Errno.OK)
            {
                failure = new EngineResult(new EngineError(EngineErrorKind.Kernel, errno, $"PAGEMAP_SCAN of pid {session.Pid}: {errno.Describe()}"));
                return WriteProtectStep.Failed;
            }

            job.ReadUpTo = stop;
        }

        return TakeRuns(job, region, stop, out failure);
    }

    private static WriteProtectStep TakeRuns(DirtyPagesCommand job, Region region, ulong stop, out EngineResult? failure)
    {
        Session session = job.Session;
        failure = null;
        for (int runs = 0; runs < DirtyRunsPerSlice && session.Pages.NextRun(job.Cursor, stop, out ulong end, out PageState state); runs++)
        {
            if ((state & PageState.Dirty) != 0)
            {
                if (job.IsFull(job.Cursor, region.PageBytes))
                {
                    job.Next = job.Cursor;
                    return WriteProtectStep.Done;
                }

                DirtyRun run = new(job.Cursor, end - job.Cursor, region.PageBytes);
                WriteProtectStep step = job.IsReset ? Reset(job, region, run, state, out failure) : Tell(job, run);
                if (step != WriteProtectStep.Progress)
                {
                    return step;
                }
            }

            job.Cursor = end;
        }

        return WriteProtectStep.Progress;
    }

    private static WriteProtectStep Tell(DirtyPagesCommand job, DirtyRun run)
    {
        job.Add(run.Start, run.Start + run.Length, run.PageBytes);
        return WriteProtectStep.Progress;
    }

    // A run is told, and counts as unchanged again. First the protection, then the note: a manager that is killed in between tells of it once more. What was given back may be there
    // (MADV_FREE leaves it), and what is not there is not protected. Told it is before its notes are touched: should that end in the middle, none of them is lost.
    private static WriteProtectStep Reset(DirtyPagesCommand job, Region region, DirtyRun run, PageState state, out EngineResult? failure)
    {
        (ulong start, ulong end) = (run.Start, run.Start + run.Length);
        failure = null;
        Errno errno = ArmWhatIsMapped(job.Session, region, job.Presence!, start, end);
        if (errno == Errno.EAGAIN)
        {
            return WriteProtectStep.TryAgain;
        }

        if (errno != Errno.OK)
        {
            failure = NotArmed(start, end, errno);
            return WriteProtectStep.Failed;
        }

        if (!ForgetTold(job.Session, region, job.Presence!, (start, end), state))
        {
            failure = NoPageTable();
        }

        _ = Tell(job, run);
        return failure is null ? WriteProtectStep.Progress : WriteProtectStep.Failed;
    }

    // What the kernel noted of writes goes into the page table. Pages that are not there were not written.
    private static Errno NoteWritten(Session session, Region region, SafeFile pagemap, ulong start, ulong stop)
    {
        Span<PageRegion> runs = stackalloc PageRegion[64];
        ulong cursor = start;
        while (cursor < stop)
        {
            PagemapScanRequest request = new()
            {
                Start = cursor,
                End = stop,
                Required = PageCategories.Written,
                AnyOf = PageCategories.Present | PageCategories.Swapped,
                Returned = PageCategories.Written,
            };
            Errno errno = PagemapScan.Scan(pagemap, request, runs, out int count, out ulong walked);
            if (errno != Errno.OK || walked <= cursor)
            {
                return errno == Errno.OK ? Errno.EIO : errno;
            }

            foreach (PageRegion run in runs[..count])
            {
                if (!TryNoteDirty(session, PageSize.AlignDown(run.Start, region.PageBytes), PageSize.AlignUp(run.End, region.PageBytes)))
                {
                    return Errno.ENOMEM;
                }
            }

            cursor = walked;
        }

        return Errno.OK;
    }
}
