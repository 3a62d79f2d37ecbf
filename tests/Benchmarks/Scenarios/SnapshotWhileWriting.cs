using System.Diagnostics;
using System.Text.Json;

namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// A process of 1 GiB, two threads of which write a page every 100 us, is copied into a file: by a snapshot of the manager's, and (in the column of the reference) by a child
/// that the process forks for it. What the writers wait for the one and for the other; waits are counted from when a write was due.
/// </summary>
internal sealed class SnapshotWhileWriting : Scenario
{
    private const long GiB = 1L << 30;
    private const int PaceNanoseconds = 100_000;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    // How long the writers run before the copy begins: it is their rate without it.
    private static readonly TimeSpan s_before = TimeSpan.FromMilliseconds(500);

    public override string Name => "snapshot while the client writes, against fork()";

    public override bool NeedsManager => true;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        long length = bench.Options.Quick ? GiB / 8 : GiB;
        string directory = Directory.CreateTempSubdirectory("uffd-bench-").FullName;
        var comparison = new Comparison();
        var busy = new Comparison();
        try
        {
            await using Handler manager = await bench.Handlers.StartManagerAsync(null);
            await using Handler nobody = await bench.Handlers.StartReferenceAsync(null, zero: true);
            for (int round = 0; round < 1 + bench.Options.Rounds; round++)
            {
                Dictionary<string, double> snapshot = await SnapshotAsync(bench, manager, Path.Combine(directory, $"snapshot-{round}"), length, PaceNanoseconds);
                Dictionary<string, double> fork = await ForkAsync(bench, nobody, Path.Combine(directory, $"fork-{round}"), length, PaceNanoseconds);

                // The first round finds code that has never run.
                if (round == 0)
                    continue;
                comparison.Add(HandlerRole.Manager, snapshot);
                comparison.Add(HandlerRole.Reference, fork);
                busy.Add(HandlerRole.Manager, await SnapshotAsync(bench, manager, Path.Combine(directory, $"snapshot-{round}-busy"), length, pace: 0));
                busy.Add(HandlerRole.Reference, await ForkAsync(bench, nobody, Path.Combine(directory, $"fork-{round}-busy"), length, pace: 0));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        double perGiB = (double)GiB / length;
        return
        [
            comparison.ToRow($"{Name}, first write of a page, p50", "us", "p50_ns", 1e-3),
            comparison.ToRow($"{Name}, first write of a page, p99", "us", "p99_ns", 1e-3, new Target(AtMost: 1)),
            comparison.ToRow($"{Name}, longest wait", "ms", "max_ns", 1e-6, new Target(AtMost: 1)),
            comparison.ToRow($"{Name}, all writers held, or fork() of 1 GiB", "ms", "still_ns", 1e-6 * perGiB),
            comparison.ToRow($"{Name}, copied", "MB/s", "bytes_per_ns", 1e3),
            comparison.ToRow($"{Name}, writes meanwhile", "% of before", "kept", 100),
            busy.ToRow($"{Name}, writes meanwhile without a pause between them", "% of before", "kept", 100),
        ];
    }

    private static async Task<Dictionary<string, double>> SnapshotAsync(Bench bench, Handler manager, string file, long length, int pace)
    {
        await using ChildProcess process = bench.Client.Start(manager, Writers("writers", length, pace));
        await BeginAsync(process);
        using ControlSocket control = new(manager);
        long session = await control.FindSessionAsync(process.Pid);
        await process.WriteLineAsync("begin");
        long began = Stopwatch.GetTimestamp();
        JsonElement progress = await control.SnapshotAsync(session, file);
        TimeSpan elapsed = Stopwatch.GetElapsedTime(began);
        await process.WriteLineAsync("end");
        Dictionary<string, double> measured = await LoadClient.ReadAsync(process);
        await process.WaitAsync(s_patience);
        if (new FileInfo(file).Length != length || progress.GetProperty("writtenBytes").GetInt64() != length)
            throw new BenchException($"{file} does not hold the memory");
        File.Delete(file);
        measured["still_ns"] = progress.GetProperty("holdSeconds").GetDouble() * 1e9;
        measured["bytes_per_ns"] = length / elapsed.TotalNanoseconds;
        return measured;
    }

    private static async Task<Dictionary<string, double>> ForkAsync(Bench bench, Handler nobody, string file, long length, int pace)
    {
        await using ChildProcess process = bench.Client.Start(nobody, Writers("forked", length, pace) with { Source = "file", OutputFile = file });
        await BeginAsync(process);
        await process.WriteLineAsync("begin");
        Dictionary<string, double> measured = await LoadClient.ReadAsync(process);
        await process.WaitAsync(s_patience);
        if (new FileInfo(file).Length != length)
            throw new BenchException($"{file} does not hold the memory");
        File.Delete(file);
        measured["bytes_per_ns"] = length / measured["copy_ns"];
        return measured;
    }

    private static async Task BeginAsync(ChildProcess process)
    {
        _ = await LoadClient.ReadAsync(process);
        await Task.Delay(s_before); // lint: allowed, it is a span of time that is measured
    }

    private static Load Writers(string mode, long length, int pace) =>
        new(mode) { Policy = "zero", Source = "policy", Threads = 2, Length = length, Pace = pace };
}
