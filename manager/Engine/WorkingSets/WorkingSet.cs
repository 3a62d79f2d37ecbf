using System.Collections.Concurrent;
using UffdManager.Engine.Loops;
using UffdManager.Engine.Regions;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// What is known of one source's pages. Fault loops leave requests; a thread of the pool works them off in their order, one at a time, and may wait for
/// the store meanwhile. So nothing here needs a lock.
/// </summary>
internal sealed class WorkingSet(WorkingSetLibrary library, TraceKey key, string? location) : IThreadPoolWorkItem
{
    private readonly ConcurrentQueue<Action> _requests = new();
    private int _working;
    private int _lastRun;
    private bool _isLoaded;
    private Trace? _trace;

    public TraceKey Key { get; } = key;

    /// <summary>Where the file is, for the store.</summary>
    public string? Location { get; } = location;

    /// <summary>The newest state; null while nothing is known. Any thread.</summary>
    public Trace? Known => Volatile.Read(ref _trace);

    /// <summary>Runs under way; changed under the library's lock.</summary>
    public int LiveRuns { get; set; }

    /// <summary>When the library last gave it to a run; under its lock.</summary>
    public long UsedAt { get; set; }

    /// <summary>Has the replay of a region planned, if there is something to replay.</summary>
    public void Begin(WorkingSetRun run, Region region, PageWindow window, int longest) => Ask(() => Plan(run, region, window, longest));

    /// <summary>Learns from a run that was observed. The report's touches are owned from now on.</summary>
    public void Conclude(RunReport report) => Ask(() => Learn(report));

    /// <inheritdoc/>
    public void Execute()
    {
        do
        {
            while (_requests.TryDequeue(out Action? request))
            {
                request();
                library.Worked();
            }

            // A full fence: the look at the queue must not come before.
            Interlocked.Exchange(ref _working, 0);
        }
        while (!_requests.IsEmpty && Interlocked.Exchange(ref _working, 1) == 0);
    }

    private void Ask(Action request)
    {
        library.Asked();
        _requests.Enqueue(request);
        if (Interlocked.Exchange(ref _working, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
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
        assignment.Pages += plan.Pages;
        run.Session.Loop.Post(new LoopCommand<bool>(loop => loop.BeginReplay(run, new Replay(run, region, plan), assignment)));
    }

    private void Learn(RunReport report)
    {
        if (report.IsWhole)
        {
            Load();
            Trace learnt = TraceMerge.Apply(_trace, report);
            Volatile.Write(ref _trace, learnt);
            library.Store.Save(Key, Location, TraceCodec.Encode(Key, learnt));
        }

        report.Touches.Dispose();
        library.Left(this);
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
