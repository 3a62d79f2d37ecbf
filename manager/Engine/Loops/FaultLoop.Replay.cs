using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// Working sets: what a run touches is recorded, and what earlier runs needed is installed ahead of the faults. A replay claims no page: a fault
/// that is quicker is served as if there were no replay, and never waits for one.
/// </content>
internal sealed partial class FaultLoop
{
    // Pieces of one slice: some 60 us when each is a page of its own.
    private const int SlicePieces = 32;

    private readonly List<WorkingSetRun> _runs = [];
    private readonly Stack<ReplayBatch> _spareBatches = new();
    private long _nextRunEnd = long.MaxValue;

    /// <summary>Installs ahead of the faults of a region what its policy says, if the session is served. Called once for each registration.</summary>
    /// <param name="session">Whose region it is.</param>
    /// <param name="region">The region.</param>
    /// <param name="isResumed">Whether an earlier manager served it before, so that what is touched from now on is not all that the run touches.</param>
    public void BeginPrefetch(Session session, Region region, bool isResumed = false)
    {
        PrefetchPolicy policy = region.Policy.Prefetch;
        if (session.State != SessionState.Serving || (region.Flags & RegionFlags.Mailbox) != 0 || ReferenceEquals(region.Source, LostSource.Instance))
        {
            return;
        }

        if (policy.Mode == PrefetchMode.Sequential)
        {
            session.Streams ??= new SequentialStreams();
        }

        bool isObserved = policy.Replays && TryBeginRun(session, region, policy, isResumed);
        if (policy.Mode == PrefetchMode.Full || (policy.Mode == PrefetchMode.ReplayThenFull && !isObserved))
        {
            Add(new PopulateJob(session, region.Start, region.End, null));
        }
    }

    /// <summary>Begins to install what was planned.</summary>
    public bool BeginReplay(WorkingSetRun run, Replay replay, ReplayAssignment assignment)
    {
        if (run.IsOver || run.Session.State != SessionState.Serving)
        {
            return false;
        }

        run.BeginReplay(assignment, replay.Plan);
        Add(new PopulateJob(run.Session, replay.Region.Start, replay.Region.End, null) { Replay = replay });
        return true;
    }

    // False when there is nothing to learn about: zeros need no replay, and contents without an identity no other run will have.
    private bool TryBeginRun(Session session, Region region, PrefetchPolicy policy, bool isResumed)
    {
        PageSource source = region.Image?.Source ?? region.Source;
        if (source.Identity is not SourceIdentity identity || Replay.WindowOf(region) is not PageWindow window || window.End > uint.MaxValue)
        {
            return false;
        }

        TraceKey key = new(session.Tenant.Name, identity, (int)region.PageBytes);
        WorkingSetRun? run = session.Runs.Find(known => known.Set.Key == key);
        if (run is null)
        {
            WorkingSet set = _engine.WorkingSets.Enter(key, source.Location);
            run = new WorkingSetRun(session, set, policy, new TouchLog(_engine.WorkingSets.TouchBytes), _now) { IsResumed = isResumed };
            session.Runs.Add(run);
            _runs.Add(run);
            _nextRunEnd = Math.Min(_nextRunEnd, run.EndsAt);
        }

        region.Run = run;
        if (run.Windows.Count < WorkingSetRun.MaximumWindows)
        {
            // What lies beyond is recorded where it is touched, and its absence tells nothing.
            run.Windows.Add(window);
            run.Set.Begin(run, region, window, Math.Max(1, FetchBytes / (int)region.PageBytes));
        }

        return true;
    }

    // For a page that nobody has touched before: what was installed for it, and the page itself.
    private void NoteTouch(in FaultContext fault, ulong start, int length)
    {
        if (fault.Attempts > 0 || fault.Region.Run is not { IsOver: false } run || run.Session != fault.Session)
        {
            return;
        }

        uint first = Replay.PageOf(fault.Region, start);
        bool noted = run.TryNote(first, length / (int)fault.Region.PageBytes, Replay.PageOf(fault.Region, fault.Page), _now, out TouchKind kind);
        Count(run, kind switch
        {
            TouchKind.Late => ReplayPages.Late,
            TouchKind.Probed => ReplayPages.Probed,
            _ => ReplayPages.Missed,
        }, kind == TouchKind.Recorded ? 0 : (long)fault.Region.PageBytes / PageSize.Base);
        if (!noted)
        {
            Conclude(run);
        }
    }

    private bool AdvanceReplay(PopulateJob job, FetchTicket? ready)
    {
        Replay replay = job.Replay!;
        WorkingSetRun run = replay.Run;
        bool isStopped = run.Stop is ReplayStop.Useless or ReplayStop.Failed || job.Session.State != SessionState.Serving;
        if (ready is not null && (isStopped || ready.Result != Errno.OK))
        {
            // A source that fails is for the faults to find out, with their deadline and their verdict.
            run.Stop = run.Stop == ReplayStop.None ? ReplayStop.Failed : run.Stop;
            if (ready.Batch is null)
            {
                ResetInFlight(job.Session, ready.Start, ready.End);
            }

            Remove(ready);
            return true;
        }

        if (ready?.Batch is ReplayBatch batch)
        {
            return InstallBatch(job, replay, ready, batch);
        }

        if (ready is not null)
        {
            Install(ready, SliceBytes);
            return true;
        }

        if (isStopped || IsSpent(run) || (replay.IsExhausted && job.Cursor >= job.StepEnd))
        {
            GiveUp(replay);
            if (job.FetchesInFlight == 0)
            {
                Finish(job);
                return true;
            }

            return false;
        }

        return replay.Region.Image is null
            ? job.FetchesInFlight < run.MaximumBatches && IssueBatch(job, replay)
            : job.FetchesInFlight < PopulateJob.MaximumFetches && ExtendReplayShared(job, replay);
    }

    private bool IsSpent(WorkingSetRun run)
    {
        if (run.Stop == ReplayStop.None && _now >= run.ReplayEndsAt)
        {
            run.Stop = ReplayStop.Limit;
        }

        return run.Stop != ReplayStop.None;
    }

    // Pieces of the plan that nobody has touched meanwhile, until they are worth a hand-over to a fetch thread.
    private bool IssueBatch(PopulateJob job, Replay replay)
    {
        Session session = job.Session;
        WorkingSetRun run = replay.Run;
        int most = Math.Min(run.Policy.MaximumPagesInFlight, TenantUsage.AheadOf(session.Tenant.Limits.PagesInFlight));
        long room = Math.Min(FetchBytes, ((long)most - run.PagesInFlight) * PageSize.Base);
        if (room < (long)replay.Region.PageBytes && run.PagesInFlight > 0)
        {
            return false;
        }

        ReplayBatch batch = replay.Waiting ?? Collect(session, replay, room);
        replay.Waiting = null;

        // What waited may have lost its region meanwhile, and with it the source.
        if (batch.Count == 0 || RegionAt(session, replay, batch.AddressOf(0)) is null)
        {
            _spareBatches.Push(batch);
            return true;
        }

        if (TryIssue(job, replay, batch))
        {
            return true;
        }

        // The tenant has as much in flight as it may.
        replay.Waiting = batch;
        job.DueAt = _now + FirstScarcityBackoff;
        return false;
    }

    private ReplayBatch Collect(Session session, Replay replay, long room)
    {
        ReplayBatch batch = _spareBatches.TryPop(out ReplayBatch? spare) ? spare : new ReplayBatch();
        batch.Clear(replay.Run.BatchPieces);
        for (int looked = 0; looked < SlicePieces * 8 && !batch.IsFull && (batch.Bytes == 0 || batch.Bytes + (long)replay.Region.PageBytes <= room)
            && replay.TryTake(room - batch.Bytes, out ulong address, out long offset, out int length); looked++)
        {
            AddAbsent(session, replay, batch, address, offset, length);
        }

        return batch;
    }

    private void GiveUp(Replay replay)
    {
        replay.Exhaust();
        if (replay.Waiting is ReplayBatch waiting)
        {
            replay.Waiting = null;
            _spareBatches.Push(waiting);
        }
    }

    private static void AddAbsent(Session session, Replay replay, ReplayBatch batch, ulong address, long offset, int length)
    {
        ulong cursor = address;
        ulong end = address + (ulong)length;
        while (!batch.IsFull && session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            Region? region = RegionOf(session, replay.Region, cursor, ref stop);
            if (state == PageState.Absent && region is not null)
            {
                batch.Add(cursor, offset + (long)(cursor - address), (int)(stop - cursor));
            }

            cursor = stop;
        }
    }

    private static Region? RegionAt(Session session, Replay replay, ulong address)
    {
        ulong stop = address + replay.Region.PageBytes;
        return RegionOf(session, replay.Region, address, ref stop);
    }

    private bool TryIssue(PopulateJob job, Replay replay, ReplayBatch batch)
    {
        Session session = job.Session;
        TenantLimits limits = session.Tenant.Limits;
        int pages = batch.Bytes / PageSize.Base;
        if (!session.Tenant.Usage.TryAddFetchAhead(pages, limits))
        {
            return false;
        }

        nuint buffer = _buffers.TryRent(batch.Bytes, out int capacity);
        if (buffer == 0)
        {
            session.Tenant.Usage.RemoveFetch(pages);
            return false;
        }

        FetchTicket ticket = TakeTicket(session, replay.Region, replay.Region.Source, buffer, capacity);
        ticket.Job = job;
        ticket.Batch = batch;

        // It stands for no range: no address lies in this one.
        ticket.Start = ulong.MaxValue - (ulong)batch.Bytes;
        ticket.Length = batch.Bytes;
        job.FetchesInFlight++;
        replay.Run.PagesInFlight += pages;
        replay.Run.BatchIssued();
        Submit(ticket);
        return true;
    }

    // One slice of what a batch brought. Everything may have changed since it was asked for; nothing can between the look and the copy.
    private bool InstallBatch(PopulateJob job, Replay replay, FetchTicket ticket, ReplayBatch batch)
    {
        int budget = SliceBytes;
        for (int pieces = 0; batch.Next < batch.Count && budget > 0 && pieces < SlicePieces; pieces++)
        {
            SourcePages pages = batch.PagesOf(batch.Next);
            int whole = pages.Length / (int)replay.Region.PageBytes * (int)replay.Region.PageBytes;
            ulong cursor = batch.AddressOf(batch.Next) + (ulong)batch.Done;
            if (batch.Done >= whole || !job.Session.Pages.NextRun(cursor, batch.AddressOf(batch.Next) + (ulong)whole, out ulong stop, out PageState state))
            {
                batch.Next++;
                batch.Done = 0;
                continue;
            }

            Region? region = RegionOf(job.Session, replay.Region, cursor, ref stop);
            if (region is null || state != PageState.Absent)
            {
                batch.Done += (int)(stop - cursor);
                continue;
            }

            ulong length = Math.Min(stop - cursor, PageSize.AlignUp((ulong)budget, region.PageBytes));
            nuint from = batch.IsZero(batch.Next) ? 0 : pages.Address + (nuint)batch.Done;
            int advanced = InstallAhead(job, replay.Run, region, cursor, length, from);
            if (advanced == 0)
            {
                ticket.DueAt = job.DueAt;
                return false;
            }

            batch.Done += advanced;
            budget -= advanced;
        }

        if (batch.Next >= batch.Count)
        {
            Remove(ticket);
        }

        return true;
    }

    // Bytes to go on behind; 0 to try again when the job is due.
    private int InstallAhead(PopulateJob job, WorkingSetRun run, Region region, ulong start, ulong length, nuint from)
    {
        Session session = job.Session;
        bool isZero = from == 0;
        nuint address = isZero && (!HasZeroPage(region) || MustProtect(session, region, start + length)) ? _zeros : from;
        InstallOutcome outcome = Fill(session, region, start, start, length, address, CopyMode(session, region, start + length), out ulong installed);
        job.InstalledBytes += installed;
        if (isZero)
        {
            AddZeroed(session, (long)installed);
        }
        else
        {
            AddCopied(session, (long)installed);
        }

        Charge(session, installed);
        CountPrefetched(run, installed);
        switch (outcome)
        {
            case InstallOutcome.Installed or InstallOutcome.AlreadyPresent or InstallOutcome.Stale:
                return (int)Math.Max(installed, region.PageBytes);
            case InstallOutcome.Changing:
                job.DueAt = _now + FirstChangingBackoff;
                return installed > 0 ? (int)installed : 0;
            default:
                run.Stop = ReplayStop.Failed;
                return (int)length;
        }
    }

    // A shared image is filled page by page, by whoever comes first.
    private bool ExtendReplayShared(PopulateJob job, Replay replay)
    {
        if (job.Cursor >= job.StepEnd)
        {
            if (!replay.TryTake(SliceBytes, out ulong address, out _, out int length))
            {
                return true;
            }

            job.Cursor = address;
            job.StepEnd = address + (ulong)length;
        }

        _ = job.Session.Pages.NextRun(job.Cursor, job.StepEnd, out ulong stop, out PageState state);
        if (state != PageState.Absent || RegionOf(job.Session, replay.Region, job.Cursor, ref stop) is not Region region)
        {
            job.Cursor = stop;
            return true;
        }

        ulong before = job.InstalledBytes;
        bool advanced = ExtendShared(job, region);
        CountPrefetched(replay.Run, job.InstalledBytes - before);
        if (job.Error is not null)
        {
            replay.Run.Stop = ReplayStop.Failed;
        }

        return advanced;
    }

    private static void CountPrefetched(WorkingSetRun run, ulong bytes)
    {
        run.PrefetchedPages += (long)(bytes / (ulong)PageSize.Base);
        Count(run, ReplayPages.Installed, (long)(bytes / (ulong)PageSize.Base));
    }

    private static void Count(WorkingSetRun run, ReplayPages kind, long pages) => run.Session.Counters.ReplayPages[(int)kind] += pages;

    // Gives back what a batch had of its run; called when its ticket goes.
    private void ReleaseBatch(FetchTicket ticket)
    {
        if (ticket.Batch is ReplayBatch batch)
        {
            ticket.Job!.Replay!.Run.PagesInFlight -= ticket.PageCount;
            ticket.Batch = null;
            _spareBatches.Push(batch);
        }
    }

    private void CheckRuns()
    {
        _nextRunEnd = long.MaxValue;
        for (int i = _runs.Count - 1; i >= 0; i--)
        {
            WorkingSetRun run = _runs[i];
            if (run.EndsAt <= _now)
            {
                Conclude(run);
            }
            else
            {
                _nextRunEnd = Math.Min(_nextRunEnd, run.EndsAt);
            }
        }
    }

    // Observed long enough: the working set learns from it.
    private void Conclude(WorkingSetRun run)
    {
        run.IsOver = true;
        _runs.Remove(run);
        run.Session.Runs.Remove(run);
        run.Session.Counters.ReplayRuns[(int)run.Outcome]++;
        if (run.UsedPages is long used)
        {
            Count(run, ReplayPages.Used, used);
            Count(run, ReplayPages.Wasted, run.PrefetchedPages - used);
        }

        run.Set.Conclude(run.Report(_now));
        if (run.Policy.Mode != PrefetchMode.ReplayThenFull || run.Session.State != SessionState.Serving)
        {
            return;
        }

        foreach (Region region in run.Session.Regions.All)
        {
            if (region.Run == run)
            {
                Add(new PopulateJob(run.Session, region.Start, region.End, null));
            }
        }
    }

    /// <summary>Learns from all runs as far as they went.</summary>
    public bool ConcludeRuns()
    {
        foreach (WorkingSetRun run in _runs.ToArray())
        {
            Conclude(run);
        }

        return true;
    }

    private void ConcludeRuns(Session session)
    {
        foreach (WorkingSetRun run in session.Runs.ToArray())
        {
            Conclude(run);
        }
    }
}
