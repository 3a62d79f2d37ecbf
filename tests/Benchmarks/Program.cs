using UffdManager.Benchmarks;
using UffdManager.Benchmarks.Scenarios;

BenchOptions options;
try
{
    options = BenchOptions.Parse(args);
}
catch (FormatException e)
{
    await Console.Error.WriteLineAsync($"{e.Message}\n{BenchOptions.Usage}");
    return 64;
}

IReadOnlyList<Scenario> scenarios = Catalogue.Select(options);
if (options.List)
{
    foreach (Scenario scenario in scenarios)
        Console.WriteLine(scenario.Name);
    return 0;
}

Machine machine = Machine.Describe();
Console.WriteLine(machine);
var report = new Report(machine, options);
await using (Bench bench = await Bench.PrepareAsync(options, report))
{
    foreach (Scenario scenario in scenarios)
        await bench.RunAsync(scenario);
}

report.Write(options.Output);
Console.WriteLine(report.ToMarkdown());
Console.WriteLine($"written: {options.Output}");
if (options.Publish is { } document && !report.HasFailures)
{
    report.Publish(document);
    Console.WriteLine($"published: {document}");
}

return scenarios.Count > 0 && !report.HasFailures ? 0 : 1;
