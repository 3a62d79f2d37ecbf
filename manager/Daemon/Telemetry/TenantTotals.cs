using UffdManager.Engine.Loops;
using UffdManager.Engine.Telemetry;

namespace UffdManager.Daemon.Telemetry;

/// <summary>What is exported under one tenant label: the engine's numbers of one tenant, or the sum over those that share the label.</summary>
internal sealed class TenantTotals(string label)
{
    private static readonly FaultKind[] Kinds = Enum.GetValues<FaultKind>();
    private static readonly FaultOutcome[] Outcomes = Enum.GetValues<FaultOutcome>();
    private static readonly EventKind[] EventKinds = Enum.GetValues<EventKind>();
    private static readonly DeferralReason[] DeferralReasons = Enum.GetValues<DeferralReason>();
    private static readonly FetchOutcome[] FetchOutcomes = Enum.GetValues<FetchOutcome>();
    private static readonly ReplayPages[] ReplayKinds = Enum.GetValues<ReplayPages>();
    private static readonly ReplayOutcome[] ReplayOutcomes = Enum.GetValues<ReplayOutcome>();

    public string Label { get; } = label;

    public long Sessions { get; set; }

    public long Regions { get; set; }

    public long RegisteredBytes { get; set; }

    public long ResidentBytes { get; set; }

    public long PagesInFlight { get; set; }

    public long FetchesInFlight { get; set; }

    public long CopiedBytes { get; set; }

    public long ZeroedBytes { get; set; }

    /// <summary>Conflicts that the manager noticed, then those that the kernel did.</summary>
    public long[] Conflicts { get; } = new long[2];

    public long PoisonedPages { get; set; }

    public long KilledClients { get; set; }

    public long FetchesStarted { get; set; }

    public long FetchWaitNanoseconds { get; set; }

    /// <summary>By kind, then outcome: index = kind × number of outcomes + outcome.</summary>
    public long[] Faults { get; } = new long[Kinds.Length * Outcomes.Length];

    public long[] Events { get; } = new long[EventKinds.Length];

    public long[] Deferrals { get; } = new long[DeferralReasons.Length];

    public long[] Fetches { get; } = new long[FetchOutcomes.Length];

    public long[] ReplayPages { get; } = new long[ReplayKinds.Length];

    public long[] ReplayRuns { get; } = new long[ReplayOutcomes.Length];

    /// <summary>Adds one tenant of the engine.</summary>
    public void Add(TenantSnapshot tenant)
    {
        Sessions += tenant.Sessions;
        Regions += tenant.Regions;
        RegisteredBytes += tenant.RegisteredBytes;
        ResidentBytes += tenant.ResidentBytes;
        PagesInFlight += tenant.PagesInFlight;
        FetchesInFlight += tenant.FetchesInFlight;
        CopiedBytes += tenant.CopiedBytes;
        ZeroedBytes += tenant.ZeroedBytes;
        Conflicts[0] += tenant.ManagerConflicts;
        Conflicts[1] += tenant.KernelConflicts;
        PoisonedPages += tenant.PoisonedPages;
        KilledClients += tenant.KilledClients;
        FetchesStarted += tenant.FetchesStarted;
        FetchWaitNanoseconds += tenant.FetchWaitNanoseconds;
        foreach (var kind in Kinds)
        {
            foreach (var outcome in Outcomes)
            {
                Faults[((int)kind * Outcomes.Length) + (int)outcome] += tenant.Faults(kind, outcome);
            }
        }

        foreach (var kind in EventKinds)
        {
            Events[(int)kind] += tenant.Events(kind);
        }

        foreach (var reason in DeferralReasons)
        {
            Deferrals[(int)reason] += tenant.Deferrals(reason);
        }

        foreach (var outcome in FetchOutcomes)
        {
            Fetches[(int)outcome] += tenant.Fetches(outcome);
        }

        foreach (var kind in ReplayKinds)
        {
            ReplayPages[(int)kind] += tenant.Replayed(kind);
        }

        foreach (var outcome in ReplayOutcomes)
        {
            ReplayRuns[(int)outcome] += tenant.Runs(outcome);
        }
    }
}
