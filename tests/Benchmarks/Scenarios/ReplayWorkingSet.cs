using System.Globalization;

namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// A VM that touches a working set of 24 MiB of its 1 GiB, as it did the time before: the manager installs ahead what it has recorded. The memory file is not in the page
/// cache. In the column of the reference is the C handler, which serves on demand, or, where the row says so, the manager serving on demand.
/// </summary>
internal sealed class ReplayWorkingSet : Scenario
{
    private const int Pages = 24 * 256;

    // Pages that lie side by side, as in recorded guests most working sets consist of small runs.
    private const int Run = 8;

    public override string Name => "24 MiB working set of 1 GiB, page cache cold";

    public override bool NeedsManager => true;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        Comparison onDemand = new();
        Comparison replay = new();
        Comparison own = new();
        Comparison other = new();
        for (int round = 0; round < bench.Options.Rounds; round++)
        {
            Dictionary<string, double> reference;
            await using (Handler handler = await bench.Handlers.StartSnapshotReferenceAsync())
                reference = await ColdAsync(bench, handler, seed: 1);
            onDemand.Add(HandlerRole.Reference, reference);
            replay.Add(HandlerRole.Reference, reference);
            await using (Handler handler = await bench.Handlers.StartSnapshotManagerAsync())
            {
                Dictionary<string, double> demanded = await ColdAsync(bench, handler, seed: 1);
                onDemand.Add(HandlerRole.Manager, demanded);
                own.Add(HandlerRole.Reference, demanded);
                other.Add(HandlerRole.Reference, await ColdAsync(bench, handler, seed: 2));
            }

            // The first VM is recorded, and its trace is written when it is gone.
            bench.Vms.ForgetTraces();
            await using (Handler handler = await bench.Handlers.StartSnapshotManagerAsync("replay"))
            {
                await ColdAsync(bench, handler, seed: 1);
                await bench.Vms.AwaitTraceAsync();
                Dictionary<string, double> replayed = await ColdAsync(bench, handler, seed: 1);
                replay.Add(HandlerRole.Manager, replayed);
                own.Add(HandlerRole.Manager, replayed);
                other.Add(HandlerRole.Manager, await ColdAsync(bench, handler, seed: 2));
            }
        }

        return
        [
            onDemand.ToRow($"{Name}, on demand", "ms", "total_us", 1e-3, Target.NoSlower),
            replay.ToRow($"{Name}, replayed", "ms", "total_us", 1e-3, new Target(AtMost: 1 / 3.7)),
            replay.ToRow($"{Name}, replayed, a page, p99", "us", "p99_ns", 1e-3),
            own.ToRow($"{Name}, replayed beside the manager on demand", "ms", "total_us", 1e-3, new Target(AtMost: 1 / 3.7)),
            own.ToRow($"{Name}, faults when replayed beside on demand", "faults", "faults", 1, new Target(AtMost: 0.03)),
            other.ToRow($"{Name}, replay of other pages beside the manager on demand", "ms", "total_us", 1e-3, Target.NoSlower),
        ];
    }

    private static async Task<Dictionary<string, double>> ColdAsync(Bench bench, Handler handler, int seed)
    {
        await bench.Vms.DropCacheAsync();
        using ManagerMetrics? metrics = handler.Role == HandlerRole.Manager ? new ManagerMetrics(handler) : null;
        double before = metrics is null ? 0 : await metrics.FaultsAsync();
        Dictionary<string, double> measured = await bench.Vms.RunAsync(
            handler, "touched", "run", "--touch", Pages.ToString(CultureInfo.InvariantCulture), "--touch-run", $"{Run}", "--threads", "2", "--seed", $"{seed}");
        if (metrics is not null)
            measured["faults"] = await metrics.FaultsAsync() - before;
        return measured;
    }
}
