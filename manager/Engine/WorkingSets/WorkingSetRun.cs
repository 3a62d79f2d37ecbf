using UffdManager.Engine.Policies;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Engine.WorkingSets;

/// <summary>
/// One session's use of one source, from the first region registered until it has been observed long enough. Belongs to the fault loop; what
/// <see cref="WorkingSet"/> decides about it comes with a command.
/// </summary>
internal sealed class WorkingSetRun(Session session, WorkingSet set, PrefetchPolicy policy, TouchLog touches, long startedAt)
{
    /// <summary>Registrations of one run that are planned for: VMs have a handful, and who registers without end must not have us plan without end.</summary>
    public const int MaximumWindows = 16;

    // Faults beside the plan that weigh as much as one that was planned for. What a replay has installed does not show, so of a good one too the first faults
    // that are seen are misses: a few in a row make it wait for a probe or a late page that speaks for it, and only many end it.
    private const int FewMisses = 12;
    private const int EnoughMisses = 64;
    private const int MissesPerHit = 4;

    // The first batch is small, each next one twice as large: what a useless replay has on its way when it is given up stands before the client's own reads.
    private const int FirstBatch = 32;

    private bool _isOver;

    public Session Session { get; } = session;

    public WorkingSet Set { get; } = set;

    public PrefetchPolicy Policy { get; } = policy;

    public TouchLog Touches { get; } = touches;

    /// <summary>Whether there was no memory for its touches: nothing is learnt from what is known of them.</summary>
    public bool IsForgotten { get; private set; }

    /// <summary>Whether its first touches are beside the plan, so that nothing more is asked for until others are not.</summary>
    public bool IsDoubtful { get; private set; }

    /// <summary>Whether an earlier manager has seen its beginning: nothing is learnt from the rest.</summary>
    public bool IsResumed { get; init; }

    /// <summary>Monotonic nanoseconds.</summary>
    public long StartedAt { get; } = startedAt;

    /// <summary>When it has been observed long enough.</summary>
    public long EndsAt => StartedAt + (long)Policy.RecordTime.TotalNanoseconds;

    /// <summary>When a replay ends, done or not.</summary>
    public long ReplayEndsAt => StartedAt + (long)Policy.MaximumTime.TotalNanoseconds;

    /// <summary>What its regions show of the source.</summary>
    public List<PageWindow> Windows { get; } = [];

    /// <summary>What its client has given back, and finds in the source again.</summary>
    public PagesGivenBack GivenBack { get; } = new();

    /// <summary>What the working set has chosen for all regions of the run; belongs to the working set.</summary>
    public ReplayAssignment? Assignment { get; set; }

    /// <summary>Replays of its regions under way.</summary>
    public int ActiveReplays { get; set; }

    /// <summary>Whether it is observed no more. Any thread may look.</summary>
    public bool IsOver
    {
        get => Volatile.Read(ref _isOver);
        set => Volatile.Write(ref _isOver, value);
    }

    /// <summary>Chosen with the plan of its first region; 0 before, and for a run that is served on demand.</summary>
    public int Number { get; private set; }

    /// <summary>What is replayed; null before the plan has come, and for a run that is served on demand.</summary>
    public Trace? Replayed { get; private set; }

    public ReplayStop Stop { get; set; }

    /// <summary>Whether the policy allows fewer bytes than the trace has.</summary>
    public bool IsCut { get; private set; }

    /// <summary>How it went so far.</summary>
    public ReplayOutcome Outcome => Stop switch
    {
        _ when Replayed is null => ReplayOutcome.Recorded,
        ReplayStop.Useless => ReplayOutcome.Useless,
        ReplayStop.Failed => ReplayOutcome.Failed,
        ReplayStop.Limit => ReplayOutcome.Limited,
        _ => IsCut ? ReplayOutcome.Limited : ReplayOutcome.Replayed,
    };

    /// <summary>How many of the installed pages were touched, by the share of the probes that were; null when there were none.</summary>
    public long? UsedPages => Probes == 0 ? null : PrefetchedPages * Math.Min(ProbeHits, Probes) / Probes;

    /// <summary>Base pages on their way from the source for replays.</summary>
    public int PagesInFlight { get; set; }

    /// <summary>Pieces of the next batch.</summary>
    public int BatchPieces { get; private set; } = FirstBatch;

    /// <summary>Batches that may be on their way at a time.</summary>
    public int MaximumBatches => BatchPieces < ReplayBatch.MaximumPieces ? 1 : Loops.PopulateJob.MaximumFetches;

    /// <summary>Base pages that replays installed.</summary>
    public long PrefetchedPages { get; set; }

    /// <summary>Pages that its replays leave out to see whether they are touched.</summary>
    public int Probes { get; private set; }

    /// <summary>Faults on pages that the replay leaves out to see whether they are touched.</summary>
    public int ProbeHits { get; private set; }

    /// <summary>Faults on pages that the replay had not installed yet.</summary>
    public int LateHits { get; private set; }

    /// <summary>Faults on pages that are not replayed.</summary>
    public int Misses { get; private set; }

    /// <summary>From now on what is touched tells something about the replay.</summary>
    public void BeginReplay(ReplayAssignment assignment, ReplayPlan plan)
    {
        ActiveReplays++;
        Probes += plan.Probes;
        IsCut |= plan.IsCut;
        Replayed = assignment.Trace;
        Number = assignment.Number;
    }

    /// <summary>A batch went off.</summary>
    public void BatchIssued() => BatchPieces = Math.Min(BatchPieces * 2, ReplayBatch.MaximumPieces);

    /// <summary>Records a first touch and tells what the replay makes of it.</summary>
    /// <returns>False when there is no room to record it.</returns>
    public bool TryNote(uint first, int pages, uint page, long now, out TouchKind kind)
    {
        kind = TouchKind.Recorded;
        if (Replayed is Trace trace)
        {
            int index = trace.IndexOf(page);
            kind = index < 0 || !trace.Entries[index].IsReplayed ? TouchKind.Missed
                : Trace.IsProbe(page, Number) ? TouchKind.Probed
                : TouchKind.Late;
            Count(kind);
        }

        return IsForgotten || Touches.TryAdd(new Touch(first, pages, (uint)Math.Min((now - StartedAt) / 1_000_000, uint.MaxValue)));
    }

    /// <summary>Gives the room for its touches back.</summary>
    public void Forget()
    {
        IsForgotten = true;
        Touches.Dispose();
    }

    // A replay that is of use shows in time: one page in ProbeShare that it could have installed faults all the same.
    private void Count(TouchKind kind)
    {
        switch (kind)
        {
            case TouchKind.Probed:
                ProbeHits++;
                break;
            case TouchKind.Late:
                LateHits++;
                break;
            default:
                Misses++;
                break;
        }

        long hits = (ProbeHits * (long)Trace.ProbeShare) + LateHits;
        IsDoubtful = Misses >= FewMisses && Misses > hits * MissesPerHit;
        if (ActiveReplays > 0 && Stop == ReplayStop.None && IsDoubtful && Misses >= EnoughMisses)
        {
            Stop = ReplayStop.Useless;
        }
    }

    private long[] CountPages()
    {
        long each = Set.Key.PageBytes / PageSize.Base;
        long[] pages = new long[Enum.GetValues<ReplayPages>().Length];
        pages[(int)ReplayPages.Installed] = PrefetchedPages;
        pages[(int)ReplayPages.Late] = LateHits * each;
        pages[(int)ReplayPages.Missed] = Misses * each;
        pages[(int)ReplayPages.Probed] = ProbeHits * each;
        pages[(int)ReplayPages.Used] = UsedPages ?? 0;
        pages[(int)ReplayPages.Wasted] = UsedPages is long used ? PrefetchedPages - used : 0;
        return pages;
    }

    public RunReport Report(long now) => new()
    {
        Number = Number,
        IsWhole = !IsResumed && !IsForgotten,
        Outcome = Outcome,
        Pages = CountPages(),
        Replayed = Replayed,
        IsReplayUseless = Stop == ReplayStop.Useless,
        Milliseconds = (now - StartedAt) / 1_000_000,
        Windows = [.. Windows],
        Touches = Touches,
    };
}
