namespace UffdManager.Engine.Telemetry;

/// <summary>
/// What one fault loop counted for one tenant. One writer, the loop; readers see each number whole but not all numbers of the same instant.
/// </summary>
internal sealed class TenantCounters(string tenant, int index)
{
    public static readonly int Kinds = Enum.GetValues<FaultKind>().Length;
    public static readonly int Outcomes = Enum.GetValues<FaultOutcome>().Length;
    public static readonly int EventKinds = Enum.GetValues<EventKind>().Length;
    public static readonly int DeferralReasons = Enum.GetValues<Loops.DeferralReason>().Length;
    public static readonly int FetchOutcomes = Enum.GetValues<FetchOutcome>().Length;
    public static readonly int ReplayKinds = Enum.GetValues<ReplayPages>().Length;
    public static readonly int ReplayOutcomes = Enum.GetValues<ReplayOutcome>().Length;

    public readonly long[] Faults = new long[Kinds * Outcomes];
    public readonly long[] Events = new long[EventKinds];
    public readonly long[] Deferrals = new long[DeferralReasons];
    public readonly long[] Fetches = new long[FetchOutcomes];
    public readonly long[] ReplayPages = new long[ReplayKinds];
    public readonly long[] ReplayRuns = new long[ReplayOutcomes];
    public long CopiedBytes;
    public long ZeroedBytes;
    public long ResidentBytes;
    public long ManagerConflicts;
    public long KernelConflicts;
    public long PoisonedPages;
    public long KilledClients;
    public long FetchWaitNanoseconds;
    public long FetchesStarted;

    public string Tenant { get; } = tenant;

    public int Index { get; } = index;

    public void CountFault(FaultKind kind, FaultOutcome outcome) => Faults[((int)kind * Outcomes) + (int)outcome]++;
}
