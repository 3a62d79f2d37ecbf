namespace UffdManager.Benchmarks.Scenarios;

/// <summary>Client processes with threads that fault as fast as they are served, each in memory of its own.</summary>
internal sealed class Throughput(int clients, int threads) : Scenario
{
    public override string Name =>
        $"faults/s, {clients} client{(clients > 1 ? "s" : "")}{(threads > 1 ? $" of {threads} threads" : "")}, unpinned";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        await using var pair = new HandlerPair(await bench.Handlers.StartReferenceAsync(null), await bench.Handlers.StartManagerAsync(null));
        var load = new Load("throughput") { Clients = clients, Threads = threads, Faults = 2 * bench.Faults };
        Comparison comparison = await pair.AlternateAsync(WarmUps, bench.Options.Rounds, handler => bench.Client.RunAsync(handler, load));
        return
        [
            comparison.ToRow(Name, "faults/s", "faults_per_second", 1, Target.NoLessThroughput),
            comparison.ToRow($"{Name}, CPU of the handler per fault", "us", LoadClient.HandlerCpu, 1e-3 / (double)load.Faults),
        ];
    }
}
