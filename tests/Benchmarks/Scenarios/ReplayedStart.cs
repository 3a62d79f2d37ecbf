namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// A program that starts from an image of 1 GiB and touches 24 MiB of it, in pieces of three pages all over: what the working set of the run before is worth, and what it
/// costs when the run touches other pages. Both columns are the manager's: replay in the first, on demand in the second.
/// </summary>
internal sealed class ReplayedStart(bool evict) : Scenario
{
    private const long Bytes = 1L << 30;
    private const long Pages = (24L << 20) / 4096;

    // The daemon counts a run when its process is gone.
    private static readonly TimeSpan s_learning = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_pace = TimeSpan.FromMilliseconds(20);

    public override string Name => $"start with 24 MiB of 1 GiB, {(evict ? "cold" : "warm")} cache, unpinned";

    public override bool NeedsManager => true;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        await using Handler manager = await bench.Handlers.StartManagerAsync(null);
        using ManagerMetrics metrics = new(manager);
        Comparison same = new();
        Comparison other = new();
        for (int round = -1; round < bench.Options.Rounds; round++)
        {
            // Another time of change is another image to the manager: what it has learnt in the round before is not used.
            bench.Client.Age(DateTime.UnixEpoch.AddDays(10_000 + round));
            if (!evict)
                await RunAsync(bench, manager, metrics, "image", seed: 2);
            await RunAsync(bench, manager, metrics, "image-replay", seed: 1);
            await AwaitRunsAsync(metrics, round + 2, "recorded");
            IReadOnlyDictionary<string, double>[] measured =
            [
                await RunAsync(bench, manager, metrics, "image", seed: 1),
                await RunAsync(bench, manager, metrics, "image-replay", seed: 1),
                await RunAsync(bench, manager, metrics, "image", seed: 2),
                await RunAsync(bench, manager, metrics, "image-replay", seed: 2),
            ];
            if (round < 0)
                continue;
            for (int i = 0; i < measured.Length; i++)
                (i < 2 ? same : other).Add(i % 2 == 0 ? HandlerRole.Reference : HandlerRole.Manager, measured[i]);
        }

        return
        [
            same.ToRow($"{Name}: replay beside on demand", "ms", "seconds", 1e3, new Target(AtMost: evict ? 1 / 3.7 : 1)),
            same.ToRow($"{Name}: faults with replay beside on demand", "faults", "faults", 1, evict ? new Target(AtMost: 0.03) : null),
            other.ToRow($"{Name}: replay of other pages beside on demand", "ms", "seconds", 1e3, Target.NoSlower),
        ];
    }

    private async Task<IReadOnlyDictionary<string, double>> RunAsync(Bench bench, Handler manager, ManagerMetrics metrics, string policy, int seed)
    {
        double before = await metrics.FaultsAsync();
        Load load = new("scattered") { Policy = policy, Length = Bytes, Faults = Pages, Seed = seed, Evict = evict };
        IReadOnlyDictionary<string, double> measured = await bench.Client.RunAsync(manager, load);
        return new Dictionary<string, double>(measured, StringComparer.Ordinal)
        {
            ["faults"] = await metrics.FaultsAsync() - before,
        };
    }

    private static async Task AwaitRunsAsync(ManagerMetrics metrics, int runs, string outcome)
    {
        using CancellationTokenSource deadline = new(s_learning);
        try
        {
            while (await metrics.SumAsync("uffd_manager_replay_runs_total", outcome) < runs)
                await Task.Delay(s_pace, deadline.Token); // lint: allowed, a pace with a deadline
        }
        catch (OperationCanceledException e)
        {
            throw new BenchException("the manager learns nothing from a run", e);
        }
    }
}
