using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// What is known of one source's pages. Fault loops leave requests; the tenant's queue works them off in their order, one at a time, and may wait for
/// the store meanwhile. So nothing here needs a lock.
/// </summary>
internal sealed class WorkingSet(WorkingSetLibrary library, WorkQueue work, TraceKey key, string? location)
{
    private int _lastRun;
    private bool _isLoaded;
    private Trace? _trace;
    private WorkingSetTotals _totals = new();

    public TraceKey Key { get; } = key;

    /// <summary>Where the file is, for the store.</summary>
    public string? Location { get; } = location;

    /// <summary>The newest state; null while nothing is known. Any thread.</summary>
    public Trace? Known => Volatile.Read(ref _trace);

    /// <summary>What became of its runs. Any thread.</summary>
    public WorkingSetTotals Totals => Volatile.Read(ref _totals);

    /// <summary>Runs under way; changed under the library's lock.</summary>
    public int LiveRuns { get; set; }

    /// <summary>When the library last gave it to a run; under its lock.</summary>
    public long UsedAt { get; set; }

    /// <summary>Has the replay of a region planned, if there is something to replay.</summary>
    public void Begin(WorkingSetRun run, Region region, PageWindow window, int longest) => Ask(() => Plan(run, region, window, longest));

    /// <summary>Learns from a run that was observed. The report's touches are owned from now on.</summary>
    public void Conclude(RunReport report) => Ask(() => Learn(report));

    /// <summary>Loads what the store has.</summary>
    public Task LookAsync() => DoAsync(() =>
    {
        Load();
        return true;
    });

    /// <summary>Forgets what is known, here and in the store.</summary>
    /// <returns>Whether anything was known.</returns>
    public Task<bool> ForgetAsync() => DoAsync(() =>
    {
        bool wasKnown = library.Store.Forget(Key, Location) | _trace is not null;
        _isLoaded = true;
        Volatile.Write(ref _trace, null);
        Volatile.Write(ref _totals, new WorkingSetTotals());
        return wasKnown;
    });

    private Task<bool> DoAsync(Func<bool> what)
    {
        TaskCompletionSource<bool> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Ask(() => done.SetResult(what()), failed: done.SetException);
        return done.Task;
    }

    private void Ask(Action request, Action<Exception>? failed = null)
    {
        library.Asked();
        work.Add(() =>
        {
            try
            {
                request();
            }
#pragma warning disable CA1031 // Whatever it is: a run goes on without what is known of it, and nobody's faults are the worse for that.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                failed?.Invoke(failure);
                library.Store.Failed(Key, Location, failure);
            }
        });
    }

    private void Plan(WorkingSetRun run, Region region, PageWindow window, int longest)
    {
        if (run.IsOver)
        {
            return;
        }

        Load();
        if (_trace is not { Relearn: false } trace)
        {
            return;
        }

        // All regions of a run go by one trace and one choice of probes, and share its bytes.
        ReplayAssignment assignment = run.Assignment ??= new ReplayAssignment(trace, ++_lastRun);
        if (assignment.Pages >= run.Policy.MaximumBytes / Key.PageBytes)
        {
            return;
        }

        ReplayPlan plan = ReplayPlan.Make(assignment.Trace, assignment.Number, window, (run.Policy.MaximumBytes / Key.PageBytes) - assignment.Pages, longest);
        assignment.Take(plan.Pages);
        run.Session.Loop.Post(new LoopCommand<bool>(loop => loop.BeginReplay(run, new Replay(run, region, plan), assignment)));
    }

    private void Learn(RunReport report)
    {
        try
        {
            Volatile.Write(ref _totals, _totals.With(report));

            // A run that replayed what is forgotten by now has not seen what that had installed.
            if (report.IsWhole && (report.Replayed is null || _trace is not null))
            {
                Load();
                Trace learnt = TraceMerge.Apply(_trace, report);
                Volatile.Write(ref _trace, learnt);
                library.Store.Save(Key, Location, TraceCodec.Encode(Key, learnt));
            }
        }
        finally
        {
            report.Touches.Dispose();
            library.Left(this);
        }
    }

    private void Load()
    {
        if (_isLoaded)
        {
            return;
        }

        _isLoaded = true;
        if (library.Store.TryLoad(Key, Location) is not byte[] bytes)
        {
            return;
        }

        Trace? trace = TraceCodec.TryDecode(bytes, Key, out string reason);
        if (trace is null)
        {
            library.Store.Rejected(Key, Location, reason);
            return;
        }

        _lastRun = trace.Runs;
        Volatile.Write(ref _trace, trace);
    }
}
