using System.Globalization;
using UffdManager.Linux;

namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// The manager is killed under uffd-supervise; its clients touch a page each as soon as it is dead. How long after the SIGKILL the first of
/// them goes on, and how long the last, whose session has been adopted by then as all others.
/// </summary>
internal sealed class ManagerKilled(int sessions) : Scenario
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    public override string Name => $"manager killed, {sessions} session{(sessions == 1 ? "" : "s")}";

    public override bool NeedsManager => true;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        int kills = bench.Options.Quick ? 3 : 20;
        var first = new List<double>();
        var last = new List<double>();
        await using Handler handler = await bench.Handlers.StartSupervisedAsync();
        await using ChildProcess crowd = await bench.Client.StartCrowdAsync(handler, sessions);
        for (int i = 0; i < kills; i++)
        {
            (double toFirst, double toLast) = await KillAsync(handler, crowd);
            first.Add(toFirst);
            last.Add(toLast);
        }

        return
        [
            Row("to the first resolved fault, p50", Comparison.Median(first), kills, Target.Within(400)),
            Row("to the first resolved fault, slowest", first.Max(), kills),
            Row("to a resolved fault of every session, p50", Comparison.Median(last), kills, sessions == 1000 ? Target.Within(1000) : null),
            Row("to a resolved fault of every session, slowest", last.Max(), kills),
        ];
    }

    private static async Task<(double First, double Last)> KillAsync(Handler handler, ChildProcess crowd)
    {
        int pid = ProcessUsage.Children(handler.Process.Pid)[0];
        using SafePidFd daemon = PidFd.TryOpen(pid, out Errno errno) ?? throw new BenchException($"the manager is gone: {errno}");
        long killed = MonotonicClock.NowNanoseconds;
        _ = PidFd.SendSignal(daemon, Signals.Kill);
        if (!PidFd.WaitForExit(daemon, s_patience))
            throw new BenchException("the manager does not die");
        await crowd.WriteLineAsync("touch");
        string line = await crowd.ReadLineAsync(s_patience) ?? throw new BenchException($"the clients have ended{crowd.LastErrors()}");
        if (!line.StartsWith("touched ", StringComparison.Ordinal))
            throw new BenchException(line);
        return (Milliseconds("first_ns="), Milliseconds("last_ns="));

        double Milliseconds(string name)
        {
            string word = line.Split(' ').First(text => text.StartsWith(name, StringComparison.Ordinal));
            return (long.Parse(word[name.Length..], CultureInfo.InvariantCulture) - killed) / 1e6;
        }
    }

    private Row Row(string what, double value, int runs, Target? target = null) =>
        new() { Name = $"{Name}, {what}", Unit = "ms", Manager = value, Runs = runs, Target = target };
}
