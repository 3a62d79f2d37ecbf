namespace UffdManager.Benchmarks.Scenarios;

/// <summary>VMs that restore one snapshot at the same time, each of which touches 4 MiB of its 1 GiB at random.</summary>
internal sealed class RestoreClones(int clones) : Scenario
{
    private const int Pages = 1024;

    // A handler serves thousands of VMs in its life. Few clones are over before its just-in-time compiler has seen what it must compile better.
    private int Settling => clones <= 8 ? 10 : WarmUps;

    public override string Name => $"restore of {clones} VM{(clones == 1 ? "" : "s")} of 1 GiB, {Pages} pages each";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        int pages = bench.Options.Quick ? Pages / 8 : Pages;
        await bench.Vms.FillCacheAsync();
        await using var pair = new HandlerPair(await bench.Handlers.StartSnapshotReferenceAsync(), await bench.Handlers.StartSnapshotManagerAsync());
        Comparison comparison = await pair.AlternateAsync(Settling, bench.Options.Rounds, async handler => await bench.Vms.RunAsync(
            handler, "cloned", "clones", "--clones", $"{clones}", "--touch", $"{pages}", "--threads", "1"));
        return
        [
            comparison.ToRow($"{Name}, until all are done", "ms", "us", 1e-3, Target.NoSlower),
            comparison.ToRow($"{Name}, a fault, p50", "us", "p50_ns", 1e-3),
            comparison.ToRow($"{Name}, a fault, p99", "us", "p99_ns", 1e-3),
            comparison.ToRow($"{Name}, CPU of the handler", "ms", LoadClient.HandlerCpu, 1e-6),
        ];
    }
}
