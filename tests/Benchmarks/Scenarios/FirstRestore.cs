namespace UffdManager.Benchmarks.Scenarios;

/// <summary>The first VM that is restored after a handler's start: what is compiled, looked up and opened for the first time is in it.</summary>
internal sealed class FirstRestore : Scenario
{
    private const int Pages = 1024;

    public override string Name => $"restore of the first VM after the start of the handler, {Pages} pages";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        await bench.Vms.FillCacheAsync();
        var comparison = new Comparison();
        for (int round = 0; round < bench.Options.Rounds; round++)
        {
            await MeasureAsync(bench, comparison, await bench.Handlers.StartSnapshotReferenceAsync());
            await MeasureAsync(bench, comparison, await bench.Handlers.StartSnapshotManagerAsync());
        }

        return
        [
            comparison.ToRow($"{Name}, until it is done", "ms", "us", 1e-3),
            comparison.ToRow($"{Name}, slowest fault", "ms", "max_ns", 1e-6),
        ];
    }

    private static async Task MeasureAsync(Bench bench, Comparison comparison, Handler handler)
    {
        await using (handler)
            comparison.Add(handler.Role, await bench.Vms.RunAsync(handler, "cloned", "clones", "--clones", "1", "--touch", $"{Pages}", "--threads", "1"));
    }
}
