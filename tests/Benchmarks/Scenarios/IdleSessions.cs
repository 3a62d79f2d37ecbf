namespace UffdManager.Benchmarks.Scenarios;

/// <summary>Many client processes that touch one page each and then do nothing: what a session costs when it is quiet.</summary>
internal sealed class IdleSessions : Scenario
{
    private const int Sessions = 1000;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    // Logging and the compiler are busy with the opening for a while: that is not idleness.
    private static readonly TimeSpan s_settling = TimeSpan.FromSeconds(3);

    public override string Name => $"{Sessions} idle sessions, unpinned";

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        TimeSpan window = TimeSpan.FromSeconds(bench.Options.Quick ? 2 : 10);
        await using var pair = new HandlerPair(
            await bench.Handlers.StartReferenceAsync(null, zero: true), await bench.Handlers.StartManagerAsync(null, zero: true));
        // Once: a second thousand finds the memory that the first has left, and would tell nothing.
        const int rounds = 1;
        Comparison comparison = await pair.AlternateAsync(0, rounds, handler => MeasureAsync(bench, handler, window));
        string seconds = $"{window.TotalSeconds:0} s";
        return
        [
            comparison.ToRow($"{Name}, memory of the handler per session", "KiB", "kib_per_session", 1),
            comparison.ToRow($"{Name}, CPU of the handler in {seconds}", "ms", "cpu_ms", 1),
            comparison.ToRow($"{Name}, time to open all", "ms", "open_ms", 1),
        ];
    }

    private static async Task<IReadOnlyDictionary<string, double>> MeasureAsync(Bench bench, Handler handler, TimeSpan window)
    {
        long before = ProcessUsage.ResidentBytes(handler.Process.Pid);
        var load = new Load("idle") { Policy = "zero", Source = "policy", Clients = Sessions, Length = 1 << 20 };
        await using ChildProcess clients = bench.Client.Start(handler, load);
        Dictionary<string, double> opened = await LoadClient.ReadAsync(clients);
        long after = ProcessUsage.ResidentBytes(handler.Process.Pid);
        await Task.Delay(s_settling); // lint: allowed, no condition tells when the runtime has settled
        IReadOnlyDictionary<string, long> cpuBefore = ProcessUsage.CpuNanoseconds(handler.Process.Pid);
        // CPU time is measured over a span of time.
        await Task.Delay(window); // lint: allowed, it is a span of time that is measured
        double cpu = ProcessUsage.CpuNanosecondsSince(handler.Process.Pid, cpuBefore);
        clients.CloseInput();
        await clients.WaitAsync(s_patience);
        return new Dictionary<string, double>(StringComparer.Ordinal)
        {
            ["kib_per_session"] = (after - before) / 1024.0 / Sessions,
            ["cpu_ms"] = cpu / 1e6,
            ["open_ms"] = opened["seconds"] * 1000,
        };
    }
}
