namespace UffdManager.Benchmarks.Scenarios;

/// <summary>Registration of a reservation of 1 TiB: what a page table costs before a page is touched.</summary>
internal sealed class RegisterHuge : Scenario
{
    public override string Name => "register 1 TiB, unpinned";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        await using var pair = new HandlerPair(
            await bench.Handlers.StartReferenceAsync(null, zero: true), await bench.Handlers.StartManagerAsync(null, zero: true));
        var load = new Load("register") { Policy = "zero", Source = "policy", Length = 1L << 40, Repeat = bench.Options.Quick ? 20 : 200 };
        Comparison comparison = await pair.AlternateAsync(WarmUps, bench.Options.Rounds, handler => bench.Client.RunAsync(handler, load));
        return
        [
            comparison.ToRow($"{Name}, median", "us", "p50_ns", 1e-3),
            comparison.ToRow($"{Name}, slowest", "us", "max_ns", 1e-3),
        ];
    }
}
