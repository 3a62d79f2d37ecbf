namespace UffdManager.Benchmarks.Scenarios;

/// <summary>
/// Clones of one image that each read a part of it and write a smaller one: what they need together where they map what the manager shares, beside clones that get copies
/// of their own. Both columns are the manager's. Counted are the clients and what the manager keeps in memfds, each page once.
/// </summary>
internal sealed class MemoryOfClones : Scenario
{
    private const int Clones = 64;
    private const int ReadMiB = 64;
    private const int WrittenMiB = 1;
    private const double MiB = 1 << 20;
    private const int PagesOfMiB = 256;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    public override string Name => $"memory of {Clones} clones of 1 GiB, {ReadMiB} MiB read and {WrittenMiB} MiB written by each";

    public override bool NeedsManager => true;

    public override async Task<IReadOnlyList<Row>> RunAsync(Bench bench)
    {
        double sharing = await MeasureAsync(bench, "map", Clones);
        double alone = await MeasureAsync(bench, "map", 1);
        double copies = await MeasureAsync(bench, "file", Clones);
        return
        [
            new Row { Name = $"{Name}: shared beside copies", Unit = "MiB", Manager = sharing, Reference = copies, Runs = 1 },
            new Row
            {
                Name = $"{Name}: without what they wrote, beside that of one",
                Unit = "MiB",
                Manager = sharing - (Clones * WrittenMiB),
                Reference = alone - WrittenMiB,
                Target = new Target(AtMost: 1.2),
                Runs = 1,
            },
        ];
    }

    // MiB of so many clones together. Each time under a manager of its own, so that nothing is left of the time before.
    private static async Task<double> MeasureAsync(Bench bench, string source, int clones)
    {
        int read = bench.Options.Quick ? ReadMiB / 4 : ReadMiB;
        await using Handler manager = await bench.Handlers.StartManagerAsync(null);
        Load load = new("clones") { Source = source, Clients = clones, Length = 1L << 30, Faults = read * PagesOfMiB, Writes = WrittenMiB * PagesOfMiB };
        await using ChildProcess clients = bench.Client.Start(manager, load);
        _ = await LoadClient.ReadAsync(clients);
        long bytes = ProcessUsage.Children(clients.Pid).Sum(ProcessUsage.ProportionalBytes)
            + ProcessUsage.ProportionalBytesOfMemfds(manager.Process.Pid);
        clients.CloseInput();
        await clients.WaitAsync(s_patience);
        return bytes / MiB;
    }
}
