using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Putting a session under tracking, and ending it.</content>
internal sealed partial class FaultLoop
{
    // A client that maps and unmaps all the time is not waited for without end.
    private const int MaximumRestarts = 64;

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
            (job.IsRegistered, job.Cursor) = (false, 0);
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

    /// <summary>
    /// Undoes what an earlier manager had half done: a tracking that was being started or stopped (either way nobody was told that it works), and a snapshot that ended
    /// with it. It is the session's work until then: a tracking that begins meanwhile would be undone with it.
    /// </summary>
    public bool UndoHalfDone(Session session)
    {
        List<SlicedCommand> undo = [];
        if (session.IsFrozen && session.Snapshot is null)
        {
            undo.Add(new ThawCommand(session, null));
        }

        if (session.State == SessionState.Serving && session.TrackedSince == 0 && session.Regions.All.Any(region => region.IsTracked))
        {
            undo.Add(new StopTrackingCommand(session));
        }

        if (undo.Count > 0)
        {
            session.Work = "what an earlier manager had begun is being undone";
            _ = Task.WhenAll(undo.Select(command => command.Task)).ContinueWith(
                _ => Post(new LoopCommand<bool>(_ => (session.Work = null) is null)),
                CancellationToken.None,
                TaskContinuationOptions.None,
                TaskScheduler.Default);
            undo.ForEach(Post);
        }

        return true;
    }

    /// <summary>Takes in what a client has done to its address space; false while something of that is still to come.</summary>
    public bool HasTakenEventsIn(Session session) => !TryPump(session, out _) || !Userfaultfd.IsChanging(session.Lease);

    // Of a region in which nothing is, because its client unmaps without an event, the kernel says ENOENT, and there is nothing to be protected. The mappings that were looked at before are asked then only: of what
    // has come, moved or grown since they say nothing.
    private static Errno ArmWhatIsMapped(Session session, Region region, PresenceMap presence, ulong start, ulong stop)
    {
        Errno errno = Arm(session, region, presence, start, stop);
        return errno == Errno.ENOENT && !presence.IsMapped(start, stop) ? Errno.OK : errno;
    }

    private WriteProtectStep RegisterForWrites(StartTrackingCommand job, out EngineResult? failure)
    {
        Session session = job.Session;
        failure = null;
        if (job.Cursor == 0)
        {
            // What comes below the cursor from here on is for the next pass.
            job.Version = session.Regions.Version;
        }

        if (session.Regions.FindOverlap(job.Cursor, ulong.MaxValue) is not Region region)
        {
            (job.IsRegistered, job.Cursor) = (true, 0);
            return WriteProtectStep.Progress;
        }

        if ((region.Flags & RegionFlags.Mailbox) != 0 || region.IsTracked)
        {
            job.Cursor = region.End;
            return WriteProtectStep.Progress;
        }

        WriteProtectStep step = TryAddWriteProtect(session, region, job.Presence, out failure);
        if (step != WriteProtectStep.Done)
        {
            return step;
        }

        job.Cursor = region.End;
        session.Regions.ChangeFlags(region.Start, region.End, RegionFlags.Tracked, RegionFlags.None, UffdRegisterModes.WriteProtect);
        CheckRecorded(session);
        return WriteProtectStep.Progress;
    }

    private static WriteProtectStep ArmSlice(StartTrackingCommand job, Region region, out EngineResult? failure)
    {
        Session session = job.Session;
        failure = null;
        ulong start = Math.Max(job.Cursor, region.Start);
        ulong stop = EndOfSlice(region, start);
        if (region.IsTracked)
        {
            // Nothing of this session's is read until the slice is over: what is written from here on faults after the notes are gone.
            bool isNoted = TryBeginNotes(session, region, job.Presence, start, stop);
            Errno errno = ArmWhatIsMapped(session, region, job.Presence, start, stop);
            if (errno == Errno.EAGAIN)
            {
                return WriteProtectStep.TryAgain;
            }

            if (errno != Errno.OK)
            {
                failure = NotArmed(start, stop, errno);
                return WriteProtectStep.Failed;
            }

            if (!isNoted || !TryEndNotes(session, region, job.Presence, start, stop))
            {
                failure = NoPageTable();
                return WriteProtectStep.Failed;
            }
        }

        job.Cursor = stop;
        return WriteProtectStep.Progress;
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
        + (errno == Errno.ENOMEM ? "; no memory is left to protect it, or for the session's page table" : string.Empty)
        + (errno == Errno.ENOENT ? "; the client has mapped something else there, of which its userfaultfd does not tell" : string.Empty)));

    private static EngineResult NoPageTable() =>
        new(new EngineError(EngineErrorKind.Limit, Errno.ENOMEM, "no memory is left for the session's page table: raise limits.pageTableBytes of its tenant"));

    private static EngineResult KeepsChanging() =>
        new(new EngineError(EngineErrorKind.Kernel, Errno.EAGAIN, "the client's address space keeps changing"));
}
