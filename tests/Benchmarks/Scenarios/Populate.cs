namespace UffdManager.Benchmarks.Scenarios;

/// <summary>The handler fills a range of 1 GiB that nobody touches: PREFETCH, or the reference's populate command.</summary>
internal sealed class Populate(string source) : Scenario
{
    private const long Bytes = 1L << 30;

    public override string Name => $"populate 1 GiB from a {source}, unpinned";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        await using var pair = new HandlerPair(await bench.Handlers.StartReferenceAsync(null), await bench.Handlers.StartManagerAsync(null));
        var load = new Load("populate") { Source = source, Length = Bytes };
        Comparison comparison = await pair.AlternateAsync(1, bench.Options.Rounds, handler => bench.Client.RunAsync(handler, load));
        return
        [
            comparison.ToRow(Name, "GB/s", "gb_per_second", 1, new Target(AtLeast: 0.95)),
            comparison.ToRow($"{Name}, CPU of the handler", "ms", LoadClient.HandlerCpu, 1e-6),
        ];
    }
}
