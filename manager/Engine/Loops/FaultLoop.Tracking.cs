using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Noting which pages change.</content>
internal sealed partial class FaultLoop
{
    // A client that maps and unmaps all the time is not waited for without end.
    private const int MaximumRestarts = 64;

    // Some 100 us where each run is protected on its own.
    private const int DirtyRunsPerSlice = 64;

    /// <summary>One slice of putting a session under tracking.</summary>
    public WriteProtectStep StartTracking(StartTrackingCommand job, out EngineResult? failure)
    {
        Session session = job.Session;
        if (!TryPump(session, out failure))
        {
            return WriteProtectStep.Failed;
        }

        // From here on ranges that are registered are tracked from their beginning.
        session.IsTracking = true;
        if (!job.IsRegistered)
        {
            return RegisterForWrites(job, out failure);
        }

        if (session.Regions.FindOverlap(job.Cursor, ulong.MaxValue) is Region region)
        {
            return ArmSlice(job, region, out failure);
        }

        if (job.Version != session.Regions.Version)
        {
            // What moved below the cursor may have been above it before.
            (job.Cursor, job.Version) = (0, session.Regions.Version);
            failure = ++job.Restarts <= MaximumRestarts ? null : KeepsChanging();
            return failure is null ? WriteProtectStep.Progress : WriteProtectStep.Failed;
        }

        session.TrackedSince = _now;
        session.Record();
        CheckRecorded(session);
        return WriteProtectStep.Done;
    }

    /// <summary>One slice of ending it.</summary>
    public WriteProtectStep StopTracking(Session session, ref ulong cursor, out EngineResult? failure)
    {
        if (!TryPump(session, out failure))
        {
            return WriteProtectStep.Failed;
        }

        if (session.IsTracking || session.TrackedSince != 0)
        {
            (session.IsTracking, session.TrackedSince) = (false, 0);
            session.Record();
            CheckRecorded(session);
        }

        if (session.Regions.FindOverlap(cursor, ulong.MaxValue) is not Region region)
        {
            return WriteProtectStep.Done;
        }

        ulong start = Math.Max(cursor, region.Start);
        ulong stop = EndOfSlice(region, start);
        if (region.IsTracked)
        {
            // What the client itself had protected stays so; a page of it that was written since faults once more, and goes on.
            Errno errno = (region.Flags & RegionFlags.WriteProtected) != 0
                ? Errno.OK
                : Userfaultfd.WriteProtect(session.Lease, start, stop - start, protect: false);
            if (errno == Errno.EAGAIN)
            {
                return WriteProtectStep.TryAgain;
            }

            // Whatever else the kernel said: there is nothing left to lift, or a fault will lift it.
            ForgetDirty(session, start, stop);
            if (stop == region.End)
            {
                session.Regions.ChangeFlags(region.Start, region.End, RegionFlags.None, RegionFlags.Tracked);
                CheckRecorded(session);
            }
        }

        cursor = stop;
        return WriteProtectStep.Progress;
    }

    /// <summary>Ends a tracking that an earlier manager was starting or stopping: either way nobody was told that it works.</summary>
    public bool FinishTracking(Session session)
    {
        if (session.State == SessionState.Serving && session.TrackedSince == 0 && session.Regions.All.Any(region => region.IsTracked))
        {
            Post(new StopTrackingCommand(session));
        }

        return true;
    }

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

        job.Cursor = Math.Max(job.Cursor, region.Start);
        if (!region.IsTracked)
        {
            job.Cursor = region.End;
            return WriteProtectStep.Progress;
        }

        ulong stop = EndOfSlice(region, job.Cursor);
        if (job.Pagemap is not null && job.ReadUpTo < stop)
        {
            Errno errno = NoteWritten(session, region, job.Pagemap, Math.Max(job.Cursor, job.ReadUpTo), stop);
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

                WriteProtectStep step = job.IsReset ? Protect(session, job.Cursor, end, state, out failure) : WriteProtectStep.Progress;
                if (step != WriteProtectStep.Progress)
                {
                    return step;
                }

                job.Add(job.Cursor, end, region.PageBytes);
            }

            job.Cursor = end;
        }

        return WriteProtectStep.Progress;
    }

    // A run counts as unchanged again. First the protection, then the note: a manager that is killed in between tells of it once more.
    private static WriteProtectStep Protect(Session session, ulong start, ulong end, PageState state, out EngineResult? failure)
    {
        failure = null;
        Errno errno = (state & PageState.StateMask) == PageState.Removed ? Errno.OK : Userfaultfd.WriteProtect(session.Lease, start, end - start, protect: true);
        if (errno == Errno.EAGAIN)
        {
            return WriteProtectStep.TryAgain;
        }

        if (errno != Errno.OK)
        {
            failure = NotArmed(start, end, errno);
            return WriteProtectStep.Failed;
        }

        if (!session.Pages.TrySetRange(start, end, state & ~PageState.Dirty))
        {
            failure = NoPageTable();
            return WriteProtectStep.Failed;
        }

        return WriteProtectStep.Progress;
    }

    private WriteProtectStep RegisterForWrites(StartTrackingCommand job, out EngineResult? failure)
    {
        Session session = job.Session;
        failure = null;
        if (session.Regions.FindOverlap(job.Cursor, ulong.MaxValue) is not Region region)
        {
            (job.IsRegistered, job.Cursor, job.Version) = (true, 0, session.Regions.Version);
            return WriteProtectStep.Progress;
        }

        if ((region.Flags & RegionFlags.Mailbox) != 0 || region.IsTracked)
        {
            job.Cursor = region.End;
            return WriteProtectStep.Progress;
        }

        if (TryAddWriteProtect(session, region, out failure) is var step and not WriteProtectStep.Done)
        {
            return step;
        }

        job.Cursor = region.End;
        session.Regions.ChangeFlags(region.Start, region.End, RegionFlags.Tracked, RegionFlags.None, UffdRegisterModes.WriteProtect);
        CheckRecorded(session);
        return WriteProtectStep.Progress;
    }

    // Registers a region for write protection besides what it is registered for. The record follows the kernel: a mode too many there means nothing.
    private static WriteProtectStep TryAddWriteProtect(Session session, Region region, out EngineResult? failure)
    {
        failure = null;
        if ((region.Modes & UffdRegisterModes.Missing) == 0 && (session.Features & (UffdFeatures.WpUnpopulated | UffdFeatures.WpHugetlbfsShmem)) == 0)
        {
            failure = new EngineResult(new EngineError(
                EngineErrorKind.Kernel,
                Errno.EOPNOTSUPP,
                $"first touches of 0x{region.Start:x}+0x{region.Length:x} are not reported (its mode is not missing), and the userfaultfd was made without WP_UNPOPULATED: writes would go unseen"));
            return WriteProtectStep.Failed;
        }

        if ((region.Modes & UffdRegisterModes.WriteProtect) != 0)
        {
            return WriteProtectStep.Done;
        }

        Errno errno = Userfaultfd.Register(session.Uffd, region.Start, region.Length, region.Modes | UffdRegisterModes.WriteProtect, out _);
        if (errno == Errno.OK)
        {
            return WriteProtectStep.Done;
        }

        if (Userfaultfd.IsChanging(session.Lease))
        {
            // Unlike everything that fills, a registration is not refused for that: the range may be gone already, and its event still to come.
            return WriteProtectStep.TryAgain;
        }

        failure = new EngineResult(new EngineError(
            EngineErrorKind.Kernel, errno, $"UFFDIO_REGISTER 0x{region.Start:x}+0x{region.Length:x} for write protection: {errno.Describe()}; this kernel cannot protect that memory"));
        return WriteProtectStep.Failed;
    }

    private static WriteProtectStep ArmSlice(StartTrackingCommand job, Region region, out EngineResult? failure)
    {
        Session session = job.Session;
        failure = null;
        ulong start = Math.Max(job.Cursor, region.Start);
        ulong stop = EndOfSlice(region, start);
        if (region.IsTracked)
        {
            Errno errno = Arm(session, region, job.Presence, start, stop);
            if (errno == Errno.EAGAIN)
            {
                return WriteProtectStep.TryAgain;
            }

            if (errno != Errno.OK)
            {
                failure = NotArmed(start, stop, errno);
                return WriteProtectStep.Failed;
            }

            // Nothing of this session's is read between the two: what is written from here on faults after the notes are gone.
            if (!ForgetDirty(session, start, stop))
            {
                failure = NoPageTable();
                return WriteProtectStep.Failed;
            }
        }

        job.Cursor = stop;
        return WriteProtectStep.Progress;
    }

    // Protects a slice. Between the look for pages and their protection only this thread could fill one, and it does not.
    private static Errno Arm(Session session, Region region, PresenceMap presence, ulong start, ulong stop)
    {
        if (!presence.IsSparse(session, region, start, stop))
        {
            return Userfaultfd.WriteProtect(session.Lease, start, stop - start, protect: true);
        }

        Span<PageRegion> runs = stackalloc PageRegion[64];
        ulong cursor = start;
        while (cursor < stop)
        {
            PagemapScanRequest request = new()
            {
                Start = cursor,
                End = stop,
                AnyOf = PageCategories.Present | PageCategories.Swapped,
                Returned = PageCategories.Present | PageCategories.Swapped,
            };
            if (PagemapScan.Scan(presence.Pagemap!, request, runs, out int count, out ulong walked) != Errno.OK || walked <= cursor)
            {
                return Userfaultfd.WriteProtect(session.Lease, cursor, stop - cursor, protect: true);
            }

            for (int i = 0; i < count; i++)
            {
                // Neighbours of other categories are runs of their own.
                ulong from = PageSize.AlignDown(runs[i].Start, region.PageBytes);
                while (i + 1 < count && runs[i + 1].Start == runs[i].End)
                {
                    i++;
                }

                Errno errno = Userfaultfd.WriteProtect(session.Lease, from, PageSize.AlignUp(runs[i].End, region.PageBytes) - from, protect: true);
                if (errno != Errno.OK)
                {
                    return errno;
                }
            }

            cursor = walked;
        }

        // A change of the address space would have been refused; where there was nothing to protect it has not been asked for.
        return Userfaultfd.IsChanging(session.Lease) ? Errno.EAGAIN : Errno.OK;
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

    private static bool TryNoteDirty(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.Dirty) == 0 && !session.Pages.TrySetRange(cursor, stop, state | PageState.Dirty))
            {
                return false;
            }

            cursor = stop;
        }

        return true;
    }

    private static bool ForgetDirty(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.Dirty) != 0 && !session.Pages.TrySetRange(cursor, stop, state & ~PageState.Dirty))
            {
                return false;
            }

            cursor = stop;
        }

        return true;
    }

    // False when the session is over, or its client is.
    private bool TryPump(Session session, out EngineResult? failure)
    {
        failure = null;
        if (session.State == SessionState.Serving)
        {
            Pump(session);
        }

        if (session.State != SessionState.Serving)
        {
            failure = s_over;
        }

        return failure is null;
    }

    private static ulong EndOfSlice(Region region, ulong start) => Math.Min(region.End, PageSize.AlignDown(start, WriteProtectSlice) + WriteProtectSlice);

    private static EngineResult NotArmed(ulong start, ulong end, Errno errno) => new(new EngineError(
        EngineErrorKind.Kernel,
        errno,
        $"UFFDIO_WRITEPROTECT 0x{start:x}+0x{end - start:x}: {errno.Describe()}"
        + (errno == Errno.ENOENT ? "; the client has mapped something else there, of which its userfaultfd does not tell" : string.Empty)));

    private static EngineResult NoPageTable() =>
        new(new EngineError(EngineErrorKind.Limit, Errno.ENOMEM, "no memory is left for the session's page table: raise limits.pageTableBytes of its tenant"));

    private static EngineResult KeepsChanging() =>
        new(new EngineError(EngineErrorKind.Kernel, Errno.EAGAIN, "the client's address space keeps changing"));
}
