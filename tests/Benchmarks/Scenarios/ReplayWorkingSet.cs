using System.Globalization;

namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// A VM that touches a working set of 24 MiB of its 1 GiB, as it did the time before: the manager installs ahead what it has recorded.
/// The memory file is not in the page cache. The column of the reference is the C handler, which serves on demand.
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
        var replay = new Comparison();
        var onDemand = new Comparison();
        for (int round = 0; round < bench.Options.Rounds; round++)
        {
            IReadOnlyDictionary<string, double> reference = await ColdAsync(bench, () => bench.Handlers.StartSnapshotReferenceAsync());
            onDemand.Add(HandlerRole.Reference, reference);
            replay.Add(HandlerRole.Reference, reference);
            onDemand.Add(HandlerRole.Manager, await ColdAsync(bench, () => bench.Handlers.StartSnapshotManagerAsync()));
            replay.Add(HandlerRole.Manager, await ReplayAsync(bench));
        }

        return
        [
            onDemand.ToRow($"{Name}, on demand", "ms", "total_us", 1e-3, Target.NoSlower),
            replay.ToRow($"{Name}, replayed", "ms", "total_us", 1e-3, new Target(AtMost: 1 / 3.7)),
            replay.ToRow($"{Name}, replayed, a page, p99", "us", "p99_ns", 1e-3),
        ];
    }

    // The first VM is recorded, and its trace is written when it is gone; the second is measured.
    private static async Task<Dictionary<string, double>> ReplayAsync(Bench bench)
    {
        bench.Vms.ForgetTraces();
        await using Handler handler = await bench.Handlers.StartSnapshotManagerAsync("replay");
        await TouchAsync(bench, handler);
        await bench.Vms.AwaitTraceAsync();
        await bench.Vms.DropCacheAsync();
        return await TouchAsync(bench, handler);
    }

    private static async Task<Dictionary<string, double>> ColdAsync(Bench bench, Func<Task<Handler>> start)
    {
        await bench.Vms.DropCacheAsync();
        await using Handler handler = await start();
        return await TouchAsync(bench, handler);
    }

    private static Task<Dictionary<string, double>> TouchAsync(Bench bench, Handler handler) => bench.Vms.RunAsync(
        handler, "touched", "run", "--touch", Pages.ToString(CultureInfo.InvariantCulture), "--touch-run", $"{Run}", "--threads", "2");
}
