namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// A VM is restored, and one of its threads touches 128 MiB page by page: what Firecracker measures of its handlers, from the hand-over on.
/// Cold: the memory file is not in the page cache. Handlers of a cold round are new ones, because a handler that has the file mapped keeps it in the cache.
/// </summary>
/// <param name="how">As in the table.</param>
/// <param name="prefetch">
/// The manager's mode; the reference fills everything at the first fault if that is <c>full</c>, and serves on demand else. What is replayed was recorded of a VM before.
/// </param>
/// <param name="isCold">Whether the file is dropped from the page cache before each round.</param>
internal sealed class TouchAfterRestore(string how, string prefetch, bool isCold) : Scenario
{
    private const int MiB = 128;

    public override string Name => $"{MiB} MiB touched after a restore, {how}, page cache {(isCold ? "cold" : "warm")}";

    /// <inheritdoc/>
    public override bool NeedsManager => prefetch == "replay";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        Comparison comparison = isCold ? await ColdAsync(bench) : await WarmAsync(bench);
        Row total = comparison.ToRow(Name, "ms", "total_us", 1e-3, prefetch == "none" ? Target.NoSlower : null);

        // What is filled ahead is waited for by some faults, and not by the others.
        return prefetch != "none"
            ? [total]
            :
            [
                total,
                comparison.ToRow($"{Name}, a page, p50", "us", "p50_ns", 1e-3),
                comparison.ToRow($"{Name}, a page, p99", "us", "p99_ns", 1e-3),
            ];
    }

    private async Task<Comparison> WarmAsync(Bench bench)
    {
        bench.Vms.ForgetTraces();
        await bench.Vms.FillCacheAsync();
        await using var pair = new HandlerPair(
            await bench.Handlers.StartSnapshotReferenceAsync(prefetch == "full"), await bench.Handlers.StartSnapshotManagerAsync(prefetch));
        return await pair.AlternateAsync(WarmUps, bench.Options.Rounds, async handler => await TouchAsync(bench, handler));
    }

    private async Task<Comparison> ColdAsync(Bench bench)
    {
        if (prefetch == "replay")
            await RecordAsync(bench);
        var comparison = new Comparison();
        for (int round = 0; round < bench.Options.Rounds; round++)
        {
            HandlerRole[] order = round % 2 == 0 ? [HandlerRole.Reference, HandlerRole.Manager] : [HandlerRole.Manager, HandlerRole.Reference];
            foreach (HandlerRole role in order)
            {
                await bench.Vms.DropCacheAsync();
                await using Handler handler = role == HandlerRole.Reference
                    ? await bench.Handlers.StartSnapshotReferenceAsync(prefetch == "full")
                    : await bench.Handlers.StartSnapshotManagerAsync(prefetch);
                comparison.Add(role, await TouchAsync(bench, handler));
            }
        }

        return comparison;
    }

    private async Task RecordAsync(Bench bench)
    {
        bench.Vms.ForgetTraces();
        await using Handler handler = await bench.Handlers.StartSnapshotManagerAsync(prefetch);
        await TouchAsync(bench, handler);
        await bench.Vms.AwaitTraceAsync();
    }

    private static async Task<Dictionary<string, double>> TouchAsync(Bench bench, Handler handler)
    {
        string pages = $"{(bench.Options.Quick ? MiB / 8 : MiB) * 256}";
        return await bench.Vms.RunAsync(handler, "touched", "run", "--touch", pages, "--touch-run", pages, "--threads", "1");
    }
}
