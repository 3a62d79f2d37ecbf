namespace UffdManager.Benchmarks.Scenarios;

/// <summary>VMs that restore one snapshot at the same time, each of which touches 4 MiB of its 1 GiB at random.</summary>
/// <param name="clones">How many.</param>
/// <param name="placement">Where they and the handler run. Whether one VM wakes its handler on its own CPU or on another is worth a factor of five, and up to the scheduler.</param>
internal sealed class RestoreClones(int clones, Placement placement) : Scenario
{
    private const int Pages = 1024;

    // A handler serves thousands of VMs in its life. Few clones are over before its just-in-time compiler has seen what it must compile better, and before each
    // piece of the image has been wanted often enough to stay mapped.
    private int Settling => clones switch
    {
        1 => 40,
        <= 8 => 10,
        _ => WarmUps,
    };

    public override string Name =>
        $"restore of {clones} VM{(clones == 1 ? "" : "s")} of 1 GiB, {Pages} pages each{(placement.HandlerCpu is null ? "" : $", {placement.Name}")}";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        placement.Check();
        int pages = bench.Options.Quick ? Pages / 8 : Pages;
        await bench.Vms.FillCacheAsync();
        await using var pair = new HandlerPair(
            await bench.Handlers.StartSnapshotReferenceAsync(cpu: placement.HandlerCpu), await bench.Handlers.StartSnapshotManagerAsync(cpu: placement.HandlerCpu));

        // Where VMs come and go, some are there: what a handler has open and mapped it keeps.
        await using IAsyncDisposable besideReference = await bench.Vms.StartIdleAsync(pair.Reference);
        await using IAsyncDisposable besideManager = await bench.Vms.StartIdleAsync(pair.Manager);
        Comparison comparison = await pair.AlternateAsync(Settling, bench.Options.Rounds, async handler => await bench.Vms.RunAsync(
            handler, placement.ClientCpu, "cloned", "clones", "--clones", $"{clones}", "--touch", $"{pages}", "--threads", "1"));
        return
        [
            comparison.ToRow($"{Name}, until all are done", "ms", "us", 1e-3, Target.NoSlower),
            comparison.ToRow($"{Name}, a fault, p50", "us", "p50_ns", 1e-3),
            comparison.ToRow($"{Name}, a fault, p99", "us", "p99_ns", 1e-3),
            comparison.ToRow($"{Name}, CPU of the handler", "ms", LoadClient.HandlerCpu, 1e-6),
        ];
    }
}
