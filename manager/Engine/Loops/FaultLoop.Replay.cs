using UffdManager.Engine.Fetch;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// What earlier runs needed is installed ahead of the faults. A replay claims no page: a fault that is quicker is served as if there were no replay, and
/// never waits for one.
/// </content>
internal sealed partial class FaultLoop
{
    /// <summary>Begins to install what was planned.</summary>
    public bool BeginReplay(WorkingSetRun run, Replay replay, ReplayAssignment assignment)
    {
        if (run.IsOver || run.Session.State != SessionState.Serving || run.Session.Jobs.Count >= MaximumJobs)
        {
            return false;
        }

        run.BeginReplay(assignment, replay.Plan);
        Add(new PopulateJob(run.Session, replay.Region.Start, replay.Region.End, null) { Replay = replay });
        return true;
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
            return TryFinish(job);
        }

        if (run.IsDoubtful)
        {
            // What is on its way is installed when it comes.
            job.DueAt = job.FetchesInFlight == 0 ? run.ReplayEndsAt : 0;
            return false;
        }

        return replay.Region.Image is null
            ? job.FetchesInFlight < run.MaximumBatches && IssueBatch(job, replay)
            : job.FetchesInFlight < PopulateJob.MaximumFetches && ExtendReplayShared(job, replay);
    }

    // What held them is over.
    private void WakeReplays(WorkingSetRun run)
    {
        foreach (PopulateJob job in run.Session.Jobs)
        {
            job.DueAt = job.Replay?.Run == run ? 0 : job.DueAt;
        }

        _populateIdle = false;
    }

    private bool IsSpent(WorkingSetRun run)
    {
        if (run.Stop == ReplayStop.None && _now >= run.ReplayEndsAt)
        {
            run.Stop = ReplayStop.Limit;
        }

        return run.Stop != ReplayStop.None;
    }

    private void GiveUp(Replay replay)
    {
        replay.Exhaust();
        if (replay.Waiting is ReplayBatch waiting)
        {
            replay.Waiting = null;
            Keep(waiting);
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
        if (!IsAbsent(state) || RegionOf(job.Session, replay.Region, job.Cursor, ref stop) is not Region region)
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
}
