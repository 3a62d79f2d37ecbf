namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// The round trip while the manager is scraped, asked for status, connected to and made to log, all at a high rate. The reference has no
/// control side; it is measured quiet, and once more with the manager's noise beside it.
/// </summary>
internal sealed class ControlSideBusy(Placement placement) : Scenario
{
    public override string Name => $"round trip with a busy control side, {placement.Name}";

    /// <inheritdoc/>
    public override bool NeedsManager => true;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        placement.Check();
        await using var pair = new HandlerPair(
            await bench.Handlers.StartReferenceAsync(placement.HandlerCpu),
            await bench.Handlers.StartManagerAsync(placement.HandlerCpu, logLevel: "debug"));
        if (pair.Manager.Metrics is not { } metrics)
            throw new BenchException("the manager did not say where its metrics are");
        var load = new Load("latency") { Cpu = placement.ClientCpu, Faults = bench.Faults };
        var quiet = new Comparison();
        var noisy = new Comparison();
        for (int round = -WarmUps; round < bench.Options.Rounds; round++)
        {
            IReadOnlyDictionary<string, double> reference = await bench.Client.RunAsync(pair.Reference, load);
            IReadOnlyDictionary<string, double> referenceBeside;
            IReadOnlyDictionary<string, double> manager;
            await using (var noise = new ControlLoad(metrics, pair.Manager.Socket))
            {
                referenceBeside = await bench.Client.RunAsync(pair.Reference, load);
                manager = await bench.Client.RunAsync(pair.Manager, load);
                noise.Check();
            }

            if (round < 0)
                continue;
            quiet.Add(HandlerRole.Reference, reference);
            quiet.Add(HandlerRole.Manager, manager);
            noisy.Add(HandlerRole.Reference, referenceBeside);
            noisy.Add(HandlerRole.Manager, manager);
        }

        var target = new Target(AtMost: 2);
        return
        [
            quiet.ToRow($"{Name}, reference quiet, p50", "us", "p50_ns", 1e-3),
            quiet.ToRow($"{Name}, reference quiet, p99.9", "us", "p999_ns", 1e-3, target),
            noisy.ToRow($"{Name}, reference beside it, p50", "us", "p50_ns", 1e-3),
            noisy.ToRow($"{Name}, reference beside it, p99.9", "us", "p999_ns", 1e-3),
        ];
    }
}
