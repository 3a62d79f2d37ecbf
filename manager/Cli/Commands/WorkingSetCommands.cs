using System.CommandLine;
using System.Text.Json.Nodes;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl workingset</c>: list, show, forget.</summary>
internal static class WorkingSetCommands
{
    private const string ImagePrefix = "image:";

    public static Command Create() => new("workingset", "Working sets: which pages of a file or an image runs need, and what installing them ahead was worth.")
    {
        List(), Show(), Forget(),
    };

    /// <summary>Says of a working set what it is and what it was worth.</summary>
    public static void Describe(Facts facts, WorkingSetDto set)
    {
        string next = set.NextRun == "replay" ? $"{Units.Bytes(set.ReplayedBytes)} are installed ahead for the next one" : "the next one is served on demand, and recorded";
        facts.Add("Working set", $"{set.Tenant}, pages of {Units.Bytes(set.PageBytes)}: {Units.Bytes(set.KnownBytes)} touched by {Units.Count(set.Runs)} {(set.Runs == 1 ? "run" : "runs")}, {next}");
        facts.Add("Last run", set.LastOutcome is { } outcome ? new Cell(outcome, StyleOf(outcome)) : "none since the daemon began");
        facts.Add("Prefetched", $"{Units.Bytes(set.PrefetchedBytes)}, {Units.Bytes(set.UsedBytes)} used, {Units.Bytes(set.WastedBytes)} wasted");
        facts.Add("Not in time", $"{Units.Bytes(set.LateBytes)} late, {Units.Bytes(set.MissedBytes)} not foreseen");
    }

    private static Style StyleOf(string outcome) => outcome switch
    {
        "replayed" => Style.Good,
        "useless" or "failed" => Style.Bad,
        _ => Style.None,
    };

    private static Command List()
    {
        Option<string?> tenant = Options.Tenant("Only those of one tenant.");
        Command command = new("list", "List the working sets that runs have used since the daemon began.") { tenant };
        command.SetWork(async (context, cancel) =>
        {
            Query query = new Query("working-sets").With("tenant", context.Line.GetValue(tenant));
            Answer<WorkingSetListDto> answer = await context.Client.GetAsync(query.ToString(), Documents.Types.WorkingSetListDto, cancel);
            if (context.Json)
            {
                context.PrintDocument(answer.Document);
                return ExitCode.Ok;
            }

            Table table = new(
                new("TENANT", Shrink: 8), new("PAGES", 5, Right: true), new("SIZE", 2, Right: true), new("RUNS", 4, Right: true), new("LAST"), new("PREFETCHED", Right: true),
                new("USED", Right: true), new("WASTED", Right: true), new("LATE", 3, Right: true), new("NEXT", 1), new("FILE", 1, Shrink: 8));
            foreach (WorkingSetDto set in answer.Value.WorkingSets)
            {
                table.Add(
                    set.Tenant, Units.Bytes(set.PageBytes), Units.Bytes(set.KnownBytes), Units.Count(set.Runs),
                    set.LastOutcome is { } outcome ? new Cell(outcome, StyleOf(outcome)) : "-", Units.Bytes(set.PrefetchedBytes), Units.Bytes(set.UsedBytes),
                    Units.Bytes(set.WastedBytes), Units.Bytes(set.LateBytes), set.NextRun, set.Path ?? "-");
            }

            context.Print(table);
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Show()
    {
        Argument<string> source = Source();
        Option<string?> tenant = Options.Tenant("Only that of one tenant.");
        Command command = new("show", "Show what is known of a file or an image, with a look at the disk.") { source, tenant };
        command.SetWork(async (context, cancel) =>
        {
            string wanted = context.Line.GetRequiredValue(source);
            Answer<WorkingSetListDto> answer = await context.Client.GetAsync(QueryOf(wanted, context.Line.GetValue(tenant)), Documents.Types.WorkingSetListDto, cancel);
            if (context.Json)
            {
                context.PrintDocument(answer.Document);
                return ExitCode.Ok;
            }

            if (answer.Value.WorkingSets.Count == 0)
                throw new CommandException(ExitCode.NotFound, $"nothing is known of the pages that runs of {wanted} touch");
            Facts facts = new();
            facts.Add("Source", Text.Clean(wanted));
            foreach (WorkingSetDto set in answer.Value.WorkingSets)
                Describe(facts, set);
            context.Print(facts);
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Forget()
    {
        Argument<string> source = Source();
        Option<string?> tenant = Options.Tenant("Only that of one tenant.");
        Command command = new("forget", "Forget what is known of a file or an image: the next run is served on demand, and recorded.") { source, tenant };
        command.SetWork(async (context, cancel) =>
        {
            string wanted = context.Line.GetRequiredValue(source);
            await context.Client.SendAsync(HttpMethod.Delete, QueryOf(wanted, context.Line.GetValue(tenant)), cancel);
            if (context.Json)
                context.PrintDocument(new JsonObject { ["forgotten"] = wanted });
            else
                context.Print($"{Text.Clean(wanted)}: forgotten; the next run is served on demand, and recorded");
            return ExitCode.Ok;
        });
        return command;
    }

    private static Argument<string> Source() =>
        new Argument<string>("source") { Description = "A file, or image:NAME.", HelpName = "SOURCE" }.Completed(ValueKind.File);

    private static string QueryOf(string source, string? tenant)
    {
        Query query = new("working-sets");
        query = source.StartsWith(ImagePrefix, StringComparison.Ordinal)
            ? query.With("image", source[ImagePrefix.Length..])
            : query.With("file", Path.GetFullPath(source));
        return query.With("tenant", tenant).ToString();
    }
}
