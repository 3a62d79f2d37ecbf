using UffdManager.Engine.Policies;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// The working sets of all sources, by tenant: what runs touched is recorded, kept, and installed ahead of the faults of later runs.
/// </summary>
/// <remarks>
/// What is known of sources that nobody uses is forgotten when it becomes much; the store has it.
/// </remarks>
internal sealed class WorkingSetLibrary(ITraceStore store)
{
    private const int MostIdle = 256;

    private readonly Lock _gate = new();
    private readonly Dictionary<TraceKey, WorkingSet> _sets = [];

    // Those that wait for a store.
    private readonly Dictionary<TraceKey, Task<WorkingSetReading?>> _looks = [];

    // By tenant: as many as the configuration ever had.
    private readonly Dictionary<string, WorkQueue> _work = new(StringComparer.Ordinal);
    private int _asked;
    private TaskCompletionSource? _rest;

    public ITraceStore Store { get; } = store;

    /// <summary>Of the touches of all runs.</summary>
    public MemoryGauge TouchBytes { get; } = new();

    /// <summary>The room that a tenant's runs have for their touches.</summary>
    public TouchBudget BudgetOf(Tenant tenant) => new(TouchBytes, tenant.Usage.TouchBytes);

    /// <summary>What is known of all sources that were used lately.</summary>
    public IReadOnlyList<WorkingSetReading> Read()
    {
        lock (_gate)
        {
            return [.. _sets.Values.Where(set => set.LiveRuns > 0 || set.Known is not null).Select(Read)];
        }
    }

    /// <summary>What is known of one source, here or in the store; null for nothing. Who asks while somebody else's look is waiting for the store waits for that one.</summary>
    public Task<WorkingSetReading?> LookAsync(in TraceKey key, string? location)
    {
        lock (_gate)
        {
            if (_looks.TryGetValue(key, out Task<WorkingSetReading?>? look))
            {
                return look;
            }

            WorkingSet set = FindOrMake(key, location);
            if (set.Known is not null)
            {
                return Task.FromResult<WorkingSetReading?>(Read(set));
            }

            return _looks[key] = LookAsync(set);
        }
    }

    /// <summary>Forgets what is known of one source. Runs under way that replay it are not learnt from.</summary>
    /// <returns>Whether anything was known.</returns>
    public Task<bool> ForgetAsync(in TraceKey key, string? location)
    {
        lock (_gate)
        {
            return FindOrMake(key, location).ForgetAsync();
        }
    }

    /// <summary>The set of a source, for one more run, which ends with <see cref="WorkingSet.Conclude"/>.</summary>
    public WorkingSet Enter(in TraceKey key, string? location)
    {
        lock (_gate)
        {
            if (!_sets.TryGetValue(key, out WorkingSet? set))
            {
                ForgetOldest();
                _sets[key] = set = FindOrMake(key, location);
            }

            set.LiveRuns++;
            set.UsedAt = MonotonicClock.NowNanoseconds;
            return set;
        }
    }

    /// <summary>A run is over, and all was learnt from it.</summary>
    public void Left(WorkingSet set)
    {
        lock (_gate)
        {
            set.LiveRuns--;
        }
    }

    /// <summary>A request waits; to be answered by <see cref="Worked"/>.</summary>
    public void Asked()
    {
        lock (_gate)
        {
            _asked++;
        }
    }

    private static WorkingSetReading Read(WorkingSet set)
    {
        Trace? trace = set.Known;
        return new WorkingSetReading
        {
            Key = set.Key,
            Location = set.Location,
            KnownPages = trace?.Entries.Length ?? 0,
            ReplayedPages = trace is { Relearn: false } ? trace.Entries.Count(entry => entry.IsReplayed) : 0,
            Runs = trace?.Runs ?? 0,
            Observed = TimeSpan.FromMilliseconds(trace?.ObservedMilliseconds ?? 0),
            Relearns = trace?.Relearn ?? false,
            ProbesJudged = trace?.ProbesJudged ?? 0,
            ProbesTouched = trace?.ProbesTouched ?? 0,
            LiveRuns = set.LiveRuns,
            Totals = set.Totals,
        };
    }

    // Under the lock. Who is only curious makes no set that others have to make room for: what it is told of is read from the store, or written there, in the
    // order of the tenant's queue, so that a run that begins meanwhile finds it so.
    private WorkingSet FindOrMake(in TraceKey key, string? location)
    {
        if (_sets.TryGetValue(key, out WorkingSet? set))
        {
            return set;
        }

        if (!_work.TryGetValue(key.Tenant, out WorkQueue? work))
        {
            _work[key.Tenant] = work = new WorkQueue(Worked);
        }

        return new WorkingSet(this, work, key, location);
    }

    private async Task<WorkingSetReading?> LookAsync(WorkingSet set)
    {
        try
        {
            // Never at once: it is noted as under way when this returns.
            await set.LookAsync().ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        }
        finally
        {
            lock (_gate)
            {
                _looks.Remove(set.Key);
            }
        }

        lock (_gate)
        {
            // A run may have begun meanwhile.
            WorkingSet? used = _sets.GetValueOrDefault(set.Key);
            return used?.Known is not null || (used?.LiveRuns > 0 && set.Known is null) ? Read(used)
                : set.Known is not null ? Read(set) with { LiveRuns = used?.LiveRuns ?? 0 }
                : null;
        }
    }

    private void Worked()
    {
        lock (_gate)
        {
            if (--_asked == 0)
            {
                _rest?.SetResult();
                _rest = null;
            }
        }
    }

    /// <summary>Waits until everything that was asked is done, so that nothing that was learnt is lost at the end.</summary>
    public bool WaitForRest(TimeSpan patience)
    {
        Task rest;
        lock (_gate)
        {
            if (_asked == 0)
            {
                return true;
            }

            _rest ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            rest = _rest.Task;
        }

        return rest.Wait(patience);
    }

    // One that has no runs has nothing to do either: the last thing that a run asks for is what ends it.
    private void ForgetOldest()
    {
        if (_sets.Count < MostIdle)
        {
            return;
        }

        WorkingSet? oldest = null;
        foreach (WorkingSet set in _sets.Values)
        {
            if (set.LiveRuns == 0 && (oldest is null || set.UsedAt < oldest.UsedAt))
            {
                oldest = set;
            }
        }

        if (oldest is not null)
        {
            _sets.Remove(oldest.Key);
        }
    }
}
