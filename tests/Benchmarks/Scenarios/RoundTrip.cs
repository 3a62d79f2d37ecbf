namespace UffdManager.Benchmarks.Scenarios;

/// <summary>One thread touches the pages of a fresh range in random order; each touch is one fault.</summary>
internal sealed class RoundTrip(Placement placement) : Scenario
{
    /// <summary>The manager's policy lets its fault loop spin for the next fault; the reference sleeps, as always.</summary>
    public bool BusyPoll { get; init; }

    public override string Name => $"single-page round trip, {placement.Name}{(BusyPoll ? ", busy-poll" : "")}";

    /// <inheritdoc/>
    public override bool NeedsManager => BusyPoll;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        placement.Check();
        await using var pair = new HandlerPair(
            await bench.Handlers.StartReferenceAsync(placement.HandlerCpu), await bench.Handlers.StartManagerAsync(placement.HandlerCpu));
        var load = new Load("latency")
        {
            Policy = BusyPoll ? "image-poll" : "image",
            Cpu = placement.ClientCpu,
            Faults = bench.Faults,
        };
        Comparison comparison = await pair.AlternateAsync(WarmUps, bench.Options.Rounds, handler => bench.Client.RunAsync(handler, load));
        var target = new Target(AtMost: BusyPoll ? 0.8 : 1.10);
        return
        [
            comparison.ToRow($"{Name}, p50", "us", "p50_ns", 1e-3, target),
            comparison.ToRow($"{Name}, p90", "us", "p90_ns", 1e-3),
            comparison.ToRow($"{Name}, p99", "us", "p99_ns", 1e-3),
            comparison.ToRow($"{Name}, p99.9", "us", "p999_ns", 1e-3),
        ];
    }
}
