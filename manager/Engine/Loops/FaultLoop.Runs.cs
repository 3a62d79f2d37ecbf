using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;

namespace UffdManager.Engine.Loops;

/// <content>Working sets: what a run touches is recorded, and learnt from when it has been observed long enough.</content>
internal sealed partial class FaultLoop
{
    private readonly List<WorkingSetRun> _runs = [];
    private long _nextRunEnd = long.MaxValue;
    private bool _isLeaving;

    /// <summary>
    /// Installs ahead of the faults of a region what its policy says, if the session is served. Called once for each registration; the region may be
    /// another object afterwards.
    /// </summary>
    /// <param name="session">Whose region it is.</param>
    /// <param name="region">The region.</param>
    /// <param name="isResumed">Whether an earlier manager served it before, so that what is touched from now on is not all that the run touches.</param>
    public void BeginPrefetch(Session session, Region region, bool isResumed = false)
    {
        PrefetchPolicy policy = region.Policy.Prefetch;
        if (session.State != SessionState.Serving || (region.Flags & RegionFlags.Mailbox) != 0 || region.Source is LostSource)
        {
            return;
        }

        if (!isResumed && (policy.Replays || policy.Mode == PrefetchMode.Full))
        {
            session.Regions.ChangeFlags(region.Start, region.End, RegionFlags.Ahead, RegionFlags.None);
            region = session.Regions.Find(region.Start)!;
            CheckRecorded(session);
        }

        bool isObserved = policy.Replays && TryBeginRun(session, region, policy, isResumed);
        if (policy.Mode == PrefetchMode.Full || (policy.Mode == PrefetchMode.ReplayThenFull && !isObserved))
        {
            Add(new PopulateJob(session, region.Start, region.End, null));
        }
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
            run = new WorkingSetRun(session, set, policy, new TouchLog(_engine.WorkingSets.BudgetOf(session.Tenant)), _now) { IsResumed = isResumed };
            session.Runs.Add(run);
            _runs.Add(run);
            _nextRunEnd = Math.Min(_nextRunEnd, run.EndsAt);
        }

        region.Run = run;
        if (run.Windows.Count < WorkingSetRun.MaximumWindows)
        {
            // What lies beyond is recorded where it is touched, and its absence tells nothing.
            run.Windows.Add(window with { End = Math.Min(window.End, key.Pages) });
            run.Set.Begin(run, region, window, Math.Max(1, FetchBytes / (int)region.PageBytes));
        }

        return true;
    }

    // For a page that nobody has touched before: what was installed for it, and the page itself.
    private void NoteTouch(in FaultContext fault, ulong start, int length)
    {
        if (fault.Attempts == 0)
        {
            NoteTouch(fault.Session, fault.Region, fault.Page, start, length);
        }
    }

    private void NoteTouch(Session session, Region region, ulong touched, ulong start, int length)
    {
        if (region.Run is not { IsOver: false } run || run.Session != session)
        {
            return;
        }

        // A mapping that has grown may show more than its source has.
        long page = Replay.PageOf(region, touched);
        long first = Replay.PageOf(region, start);
        long pages = Math.Min(length / (long)region.PageBytes, run.Set.Key.Pages - first);
        if (page >= run.Set.Key.Pages)
        {
            return;
        }

        if (run.GivenBack.Ranges > 0 && run.GivenBack.Contains((uint)page))
        {
            return;
        }

        bool wasDoubtful = run.IsDoubtful;
        bool noted = run.TryNote((uint)first, (int)pages, (uint)page, _now, out TouchKind kind);
        Count(run, kind switch
        {
            TouchKind.Late => ReplayPages.Late,
            TouchKind.Probed => ReplayPages.Probed,
            _ => ReplayPages.Missed,
        }, kind == TouchKind.Recorded ? 0 : (long)region.PageBytes / PageSize.Base);
        if (wasDoubtful && (!run.IsDoubtful || run.Stop != ReplayStop.None))
        {
            WakeReplays(run);
        }

        if (noted)
        {
            return;
        }

        if (run.Touches.IsFull)
        {
            EndObservation(run);
        }
        else
        {
            run.Forget();
        }
    }

    // Where it leads back to the source: balloons give the same pages back again and again, and each time they would count as touched for the first time.
    private static void NoteGivenBack(Session session, Region region, ulong from, ulong to)
    {
        if (region.Run is not { IsOver: false } run || run.Session != session || (StateAfterRemoval(region) & PageState.StateMask) != PageState.Absent)
        {
            return;
        }

        ulong cursor = from;
        while (session.Pages.NextRun(cursor, to, out ulong stop, out PageState state))
        {
            long first = Replay.PageOf(region, cursor);
            if ((state & PageState.StateMask) == PageState.Present && first < run.Set.Key.Pages)
            {
                run.GivenBack.Add((uint)first, (uint)Math.Min(first + (long)((stop - cursor) / region.PageBytes), run.Set.Key.Pages));
            }

            cursor = stop;
        }
    }

    private static void Count(WorkingSetRun run, ReplayPages kind, long pages) => run.Session.Counters.ReplayPages[(int)kind] += pages;

    private void CheckRuns()
    {
        _nextRunEnd = long.MaxValue;
        for (int i = _runs.Count - 1; i >= 0; i--)
        {
            WorkingSetRun run = _runs[i];
            if (run.EndsAt <= _now)
            {
                EndObservation(run);
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
    }

    // Concluded in its time: what its policy wants then is next.
    private void EndObservation(WorkingSetRun run)
    {
        Conclude(run);
        if (run.Policy.Mode == PrefetchMode.ReplayThenFull && run.Session.State == SessionState.Serving)
        {
            foreach (Region region in run.Session.Regions.All.Where(region => region.Run == run))
            {
                Add(new PopulateJob(run.Session, region.Start, region.End, null));
            }
        }

        CheckAhead(run.Session);
    }

    // When nothing is left to be installed ahead, a successor has nothing to go on with.
    private void CheckAhead(Session session)
    {
        if (session.State == SessionState.Serving && !_isLeaving && session.Runs.Count == 0 && !session.Jobs.Exists(job => job.LeavesZerosOut))
        {
            session.Regions.ChangeFlags(0, ulong.MaxValue, RegionFlags.None, RegionFlags.Ahead);
            CheckRecorded(session);
        }
    }

    /// <summary>Learns from all runs as far as they went.</summary>
    public bool ConcludeRuns()
    {
        _isLeaving = true;
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
