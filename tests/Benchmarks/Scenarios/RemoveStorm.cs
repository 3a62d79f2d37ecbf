namespace UffdManager.Benchmarks.Scenarios;

/// <summary>A VM that reports free pages all the time, 256 KiB of 5,000 times a second, while its vCPUs read and write.</summary>
internal sealed class RemoveStorm : Scenario
{
    public override string Name => "free page reporting all the time";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        int seconds = bench.Options.Quick ? 1 : 5;
        await bench.Vms.FillCacheAsync();
        await using var pair = new HandlerPair(await bench.Handlers.StartSnapshotReferenceAsync(), await bench.Handlers.StartSnapshotManagerAsync());
        Comparison comparison = await pair.AlternateAsync(1, bench.Options.Rounds, async handler => await bench.Vms.RunAsync(
            handler, "ok", "load", "--reporting", "--balloon", "--threads", "2", "--seconds", $"{seconds}", "--length", $"{64 << 20}"));
        return
        [
            comparison.ToRow($"{Name}, pages given up", "pages/s", "removals", 1.0 / seconds, Target.NoLessThroughput),
            comparison.ToRow($"{Name}, accesses", "pages/s", "reads", 1.0 / seconds, Target.NoLessThroughput),
            comparison.ToRow($"{Name}, longest wait", "ms", "stall_ms", 1),
        ];
    }
}
