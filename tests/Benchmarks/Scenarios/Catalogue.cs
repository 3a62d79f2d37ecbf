namespace UffdManager.Benchmarks.Scenarios;

/// <summary>Every scenario, in the order of the table.</summary>
internal static class Catalogue
{
    public static IReadOnlyList<Scenario> All { get; } =
    [
        new RoundTrip(Placement.SameCpu),
        new RoundTrip(Placement.DifferentCpus),
        new RoundTrip(Placement.Unpinned),
        new RoundTrip(Placement.DifferentCpus) { BusyPoll = true },
        new RoundTrip(Placement.Unpinned) { BusyPoll = true },
        new ControlSideBusy(Placement.Unpinned),
        new Throughput(1, 1),
        new Throughput(2, 1),
        new Throughput(8, 1),
        new Throughput(64, 1),
        new Throughput(1, 8),
        new Throughput(8, 4),
        new Populate("file"),
        new Populate("memfd"),
        new ReplayedStart(evict: true),
        new ReplayedStart(evict: false),
        new IdleSessions(),
        new RegisterHuge(),
        new MemoryOfClones(),
        new FirstRestore(),
        new RestoreClones(1, Placement.SameCpu),
        new RestoreClones(1, Placement.DifferentCpus),
        new RestoreClones(8, Placement.Unpinned),
        new RestoreClones(64, Placement.Unpinned),
        new RestoreClones(256, Placement.Unpinned),
        new TouchAfterRestore("on demand", "none", isCold: false),
        new TouchAfterRestore("on demand", "none", isCold: true),
        new TouchAfterRestore("replayed", "replay", isCold: false),
        new TouchAfterRestore("replayed", "replay", isCold: true),
        new TouchAfterRestore("everything ahead", "full", isCold: false),
        new TouchAfterRestore("everything ahead", "full", isCold: true),
        new ReplayWorkingSet(),
        new RemoveStorm(),
        new SnapshotWhileWriting(),
        new ManagerKilled(1),
        new ManagerKilled(100),
        new ManagerKilled(1000),
    ];

    public static IReadOnlyList<Scenario> Select(BenchOptions options) =>
    [
        .. All.Where(scenario => !options.SelfCheck || !scenario.NeedsManager)
            .Where(scenario => options.Only.Count == 0
                || options.Only.Any(text => scenario.Name.Contains(text, StringComparison.OrdinalIgnoreCase))),
    ];
}
