using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Filling ranges ahead of their faults, one slice a turn, so that a fault waits for one slice at most.</content>
internal sealed partial class FaultLoop
{
    // Some 70 us of copying: what a fault may have to wait for. Smaller slices cost a turn of the loop each, which is a third of a populate.
    private const int SliceBytes = 256 * 1024;

    // Mapping the zero page is twenty times cheaper than copying.
    private const int ZeroSliceBytes = 1024 * 1024;

    // A hand-over between threads each; a few of them are under way at a time.
    private const int FetchBytes = 1024 * 1024;

    private readonly List<PopulateJob> _jobs = [];
    private uint _nextJob;
    private bool _populateIdle = true;

    private bool HasPopulateWork => _jobs.Count > 0 && !_populateIdle;

    private long NextPopulateDue
    {
        get
        {
            long due = long.MaxValue;
            foreach (PopulateJob job in _jobs)
            {
                due = Math.Min(due, job.DueAt == 0 ? long.MaxValue : job.DueAt);
            }

            return due;
        }
    }

    public void Add(PopulateJob job)
    {
        job.Session.Jobs.Add(job);
        _jobs.Add(job);
        _populateIdle = false;
    }

    private void PopulateSlice()
    {
        _populateIdle = true;
        for (int tried = 0; tried < _jobs.Count; tried++)
        {
            PopulateJob job = _jobs[(int)(_nextJob++ % (uint)_jobs.Count)];
            if (job.DueAt > _now)
            {
                continue;
            }

            job.DueAt = 0;
            if (Advance(job))
            {
                _populateIdle = false;
                return;
            }
        }
    }

    // One slice of one job; false when it can do nothing now.
    private bool Advance(PopulateJob job)
    {
        FetchTicket? ready = null;
        foreach (FetchTicket ticket in job.Session.Tickets)
        {
            if (ReferenceEquals(ticket.Job, job) && ticket.Phase == FetchPhase.Installing && (ready is null || ticket.Start < ready.Start))
            {
                ready = ticket;
            }
        }

        // The tenant's rate is for prefetching as for faults; what was installed beyond it would have to be waited for by the faults.
        long limit = job.Session.Tenant.Limits.CopiedBytesPerSecond;
        if (!job.Session.Tenant.Usage.CopiedBytes.TryTake(0, limit, _now, out long readyAt))
        {
            job.DueAt = readyAt;
            return false;
        }

        if (ready is not null && ready.DueAt > _now)
        {
            job.DueAt = ready.DueAt;
            return false;
        }

        if (job.Replay is not null)
        {
            return AdvanceReplay(job, ready);
        }

        if (ready is not null)
        {
            Install(ready, SliceBytes);
            return true;
        }

        if (job.Cursor >= job.End || job.Session.State != SessionState.Serving)
        {
            return TryFinish(job);
        }

        return Extend(job);
    }

    private bool Extend(PopulateJob job)
    {
        Session session = job.Session;
        Region? region = session.Regions.FindOverlap(job.Cursor, job.End);
        if (region is null)
        {
            job.Cursor = job.End;
            return true;
        }

        job.Cursor = Math.Max(job.Cursor, region.Start);
        ulong end = Math.Min(job.End, region.End);
        if (!session.Pages.NextRun(job.Cursor, end, out ulong stop, out PageState state))
        {
            return true;
        }

        if ((state & ~PageState.Dirty) != PageState.Absent || (region.Flags & RegionFlags.Mailbox) != 0)
        {
            job.Cursor = stop;
            return true;
        }

        if (job.LeavesZerosOut && LeaveZerosOut(job, region, stop))
        {
            return true;
        }

        if (region.Image is not null)
        {
            return ExtendShared(job, region);
        }

        // On huge pages a run of zeros counts as far as it fills them.
        bool zeros = region.Source.StartsWithZeros(region.OffsetOf(job.Cursor), (long)(stop - job.Cursor), out long run);
        ulong zeroBytes = zeros ? PageSize.AlignDown((ulong)run, region.PageBytes) : 0;
        if (zeroBytes > 0)
        {
            return InstallZeroSlice(job, region, Math.Min(zeroBytes, Math.Max(ZeroSliceBytes, region.PageBytes)));
        }

        stop = Math.Min(stop, job.Cursor + PageSize.AlignUp((ulong)run, region.PageBytes));

        if (job.FetchesInFlight >= PopulateJob.MaximumFetches)
        {
            return false;
        }

        int length = (int)Math.Min(stop - job.Cursor, (ulong)Math.Max(FetchBytes, (int)region.PageBytes));
        FetchTicket? ticket = TryIssue(session, region, job.Cursor, length, out _, isAhead: true);
        if (ticket is null)
        {
            job.DueAt = _now + FirstScarcityBackoff;
            return false;
        }

        ticket.Job = job;
        job.FetchesInFlight++;
        job.Cursor += (ulong)length;
        Submit(ticket);
        return true;
    }

    // Where the source knows of zeros at once. Those of a source that has nothing else are what its policy wants.
    private static bool LeaveZerosOut(PopulateJob job, Region region, ulong stop)
    {
        PageSource source = region.Image?.Source ?? region.Source;
        long offset = region.OffsetOf(job.Cursor);
        if (source.IsZero || !source.StartsWithZeros(region.Image?.SourceOffsetOf(offset) ?? offset, (long)(stop - job.Cursor), out long run))
        {
            return false;
        }

        ulong zeros = PageSize.AlignDown((ulong)run, region.PageBytes);
        job.Cursor += zeros;
        return zeros > 0;
    }

    private bool InstallZeroSlice(PopulateJob job, Region region, ulong length)
    {
        Session session = job.Session;
        nuint from = MustProtect(session, region, job.Cursor + length) || !HasZeroPage(region) ? _zeros : 0;
        InstallOutcome outcome = Fill(session, region, job.Cursor, job.Cursor, length, from, CopyMode(session, region, job.Cursor + length), out ulong installed);
        job.InstalledBytes += installed;
        AddZeroed(session, (long)installed);
        Charge(session, installed);
        switch (outcome)
        {
            case InstallOutcome.Installed or InstallOutcome.AlreadyPresent or InstallOutcome.Stale:
                // By what was done, not by what the page table says: it may have had no memory to note it.
                job.Cursor += Math.Max(installed, region.PageBytes);
                return true;
            case InstallOutcome.Changing:
                job.DueAt = _now + FirstChangingBackoff;
                return false;
            case InstallOutcome.NoMemory or InstallOutcome.HugePoolEmpty:
                FailJob(job, Errno.ENOMEM, $"no memory for the page at 0x{job.Cursor:x}");
                return true;
            default:
                FailJob(job, Errno.ESRCH, "the address space is gone or refuses to be filled");
                return true;
        }
    }

    // Shared images are filled page by page: another session may hold any of them.
    private bool ExtendShared(PopulateJob job, Region region)
    {
        SharedImage image = region.Image!;
        long offset = region.OffsetOf(job.Cursor);
        int length = (int)region.PageBytes;
        if (!image.Contains(offset, length))
        {
            job.Cursor = region.End;
            return true;
        }

        switch (TryFillShared(job.Session, image, offset, length))
        {
            case SharedFill.Filled:
                return MapSlice(job, region);
            case SharedFill.Busy:
                job.DueAt = _now + FirstChangingBackoff;
                return false;
            case SharedFill.Slow or SharedFill.Unfillable:
                return FetchShared(job, region, image, offset);
            default:
                FailJob(job, Errno.ENOMEM, "no memory is left for the shared image");
                return true;
        }
    }

    private bool FetchShared(PopulateJob job, Region region, SharedImage image, long offset)
    {
        FetchTicket? ticket = job.FetchesInFlight < PopulateJob.MaximumFetches
            ? TryIssue(job.Session, region, job.Cursor, (int)region.PageBytes, out _, isAhead: true)
            : null;
        if (ticket is null)
        {
            if (image.CanFill)
            {
                image.EndClaim(offset, filled: false);
            }

            job.DueAt = _now + FirstScarcityBackoff;
            return false;
        }

        ticket.Job = job;
        job.FetchesInFlight++;
        job.Cursor += region.PageBytes;
        Submit(ticket);
        return true;
    }

    private bool MapSlice(PopulateJob job, Region region)
    {
        InstallOutcome outcome = InstallContinue(job.Session, region, job.Cursor, region.PageBytes);
        switch (outcome)
        {
            case InstallOutcome.Changing:
                job.DueAt = _now + FirstChangingBackoff;
                return false;
            case InstallOutcome.Installed or InstallOutcome.AlreadyPresent or InstallOutcome.Stale:
                job.InstalledBytes += outcome == InstallOutcome.Installed ? region.PageBytes : 0;
                job.Cursor += region.PageBytes;
                return true;
            default:
                FailJob(job, Errno.EINVAL, $"the kernel did not map the page at 0x{job.Cursor:x} ({outcome})");
                return true;
        }
    }

    private static void FailJob(PopulateJob job, Errno errno, string why)
    {
        job.Error ??= new EngineError(EngineErrorKind.Kernel, errno, why);
        job.Cursor = job.End;
    }

    // A slice of what is left when nothing more is to be installed; false when that waits for fetches, or for the address space to stand still.
    private bool TryFinish(PopulateJob job)
    {
        if (job.FetchesInFlight == 0 && HasAskedForSuspects(job))
        {
            Finish(job);
            return true;
        }

        return job.FetchesInFlight == 0 && job.DueAt == 0;
    }

    private void Finish(PopulateJob job)
    {
        _jobs.Remove(job);
        job.Session.Jobs.Remove(job);
        if (job.Replay is Replay replay)
        {
            GiveUp(replay);
            replay.Run.ActiveReplays--;
            replay.Run.Assignment!.GiveBack(Math.Max(0, replay.Plan.Pages - (long)(job.InstalledBytes / replay.Region.PageBytes)));
        }

        job.Completion?.TrySetResult(new EngineResult(job.Error, job.InstalledBytes));
        CheckAhead(job.Session);
    }

    private void FailJobs(Session session)
    {
        foreach (PopulateJob job in session.Jobs.ToArray())
        {
            job.Error ??= new EngineError(EngineErrorKind.State, Errno.ESRCH, "the session ended");
            Finish(job);
        }
    }
}
