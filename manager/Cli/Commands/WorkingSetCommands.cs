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

    /// <summary>Says of working sets what they are and what they were worth.</summary>
    /// <param name="facts">Where to say it.</param>
    /// <param name="sets">The working sets.</param>
    /// <param name="problem">Why some may be missing.</param>
    public static void Describe(Facts facts, IEnumerable<WorkingSetDto> sets, string? problem)
    {
        foreach (WorkingSetDto set in sets)
            Describe(facts, set);
        facts.AddIf(problem is not null, "Not known", new Cell(Text.Clean(problem ?? ""), Style.Bad));
    }

    private static void Describe(Facts facts, WorkingSetDto set)
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
        return new Command("list", "List the working sets that runs have used since the daemon began.") { tenant }.Gets(
            context => new Query("working-sets").With("tenant", context.Line.GetValue(tenant)), Documents.Types.WorkingSetListDto, (context, list) => context.Print(Table(list.WorkingSets)));
    }

    private static Table Table(IEnumerable<WorkingSetDto> sets)
    {
        Table table = new(
            new("TENANT", Shrink: 8), new("PAGES", 5, Right: true), new("SIZE", 2, Right: true), new("RUNS", 4, Right: true), new("LAST"), new("PREFETCHED", Right: true),
            new("USED", Right: true), new("WASTED", Right: true), new("LATE", 3, Right: true), new("NEXT", 1), new("FILE", 1, Shrink: 8));
        foreach (WorkingSetDto set in sets)
        {
            table.Add(
                set.Tenant, Units.Bytes(set.PageBytes), Units.Bytes(set.KnownBytes), Units.Count(set.Runs),
                set.LastOutcome is { } outcome ? new Cell(outcome, StyleOf(outcome)) : "-", Units.Bytes(set.PrefetchedBytes), Units.Bytes(set.UsedBytes),
                Units.Bytes(set.WastedBytes), Units.Bytes(set.LateBytes), set.NextRun, set.Path ?? "-");
        }

        return table;
    }

    private static Command Show()
    {
        Argument<string> source = Source();
        Option<string?> tenant = Options.Tenant("Only that of one tenant.");
        return new Command("show", "Show what is known of a file or an image, with a look at the disk.") { source, tenant }.Gets(
            context => QueryOf(context, source, tenant),
            Documents.Types.WorkingSetListDto,
            (context, list) =>
            {
                string wanted = Text.Clean(context.Line.GetRequiredValue(source));
                if (list.WorkingSets.Count == 0)
                {
                    throw list.Problem is { } problem
                        ? new CommandException(ExitCode.Unavailable, Text.Clean(problem))
                        : new CommandException(ExitCode.NotFound, $"nothing is known of the pages that runs of {wanted} touch");
                }

                Facts facts = new();
                facts.Add("Source", wanted);
                Describe(facts, list.WorkingSets, list.Problem);
                context.Print(facts);
            });
    }

    private static Command Forget()
    {
        Argument<string> source = Source();
        Option<string?> tenant = Options.Tenant("Only that of one tenant.");
        return new Command("forget", "Forget what is known of a file or an image: the next run is served on demand, and recorded.") { source, tenant }.Deletes(
            context => QueryOf(context, source, tenant),
            context => new JsonObject { ["forgotten"] = context.Line.GetRequiredValue(source) },
            context => $"{Text.Clean(context.Line.GetRequiredValue(source))}: forgotten; the next run is served on demand, and recorded");
    }

    private static Argument<string> Source() =>
        new Argument<string>("source") { Description = "A file, or image:NAME.", HelpName = "SOURCE" }.Completed(ValueKind.File);

    private static Query QueryOf(CommandContext context, Argument<string> source, Option<string?> tenant)
    {
        string wanted = context.Line.GetRequiredValue(source);
        Query query = new("working-sets");
        query = wanted.StartsWith(ImagePrefix, StringComparison.Ordinal)
            ? query.With("image", wanted[ImagePrefix.Length..])
            : query.With("file", Path.GetFullPath(wanted));
        return query.With("tenant", context.Line.GetValue(tenant));
    }
}
