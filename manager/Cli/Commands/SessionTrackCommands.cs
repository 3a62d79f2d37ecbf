using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl session track</c>: start, show, pages, stop.</summary>
internal static class SessionTrackCommands
{
    private const string RunsPerAnswer = "10000";

    public static Command Create() => new("track", "Note which pages of a session change.") { Start(), Show(), Pages(), Stop() };

    private static Command Start()
    {
        Argument<long> id = Options.Session();
        Command command = new("start", "Begin to note which pages change.") { id };
        command.SetWork(async (context, cancel) =>
        {
            Answer<TrackingDto> answer = await context.Client.SendAsync(
                HttpMethod.Post, Tracking(context, id).ToString(), null, Documents.Types.TrackingDto, cancel);
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                context.Print($"session {answer.Value.Session}: changes of {Units.Bytes(answer.Value.TrackedBytes)} are noted{(answer.Value.Asynchronous ? " by the kernel" : "")}");
            return ExitCode.Ok;
        });
        return command;
    }

    private static Command Show()
    {
        Argument<long> id = Options.Session();
        return new Command("show", "Show whether changed pages are noted, since when and by whom.") { id }.Gets(
            context => Tracking(context, id),
            Documents.Types.TrackingDto,
            (context, tracking) => context.Print(Facts(tracking)),
            context => $"'uffdctl session track start {context.Line.GetValue(id)}' begins it.");
    }

    private static Facts Facts(TrackingDto tracking)
    {
        Facts facts = new();
        facts.Add("Session", tracking.Session);
        facts.Add("Since", tracking.Since);
        facts.Add("Noted by", tracking.Asynchronous ? "the kernel: no write faults for it" : "the manager: the first write of each page is a fault");
        facts.Add("Tracked", Units.Bytes(tracking.TrackedBytes));
        facts.AddIf(tracking.UntrackedBytes > 0, "Not tracked", new Cell($"{Units.Bytes(tracking.UntrackedBytes)}: changes there are in no list", Style.Warning));
        return facts;
    }

    private static Command Stop()
    {
        Argument<long> id = Options.Session();
        return new Command("stop", "End it, and forget what was noted.") { id }.Deletes(
            context => Tracking(context, id),
            context => new JsonObject { ["session"] = context.Line.GetValue(id), ["stopped"] = true },
            context => $"session {context.Line.GetValue(id)}: changes are not noted any more");
    }

    private static Command Pages()
    {
        Argument<long> id = Options.Session();
        Option<bool> reset = new("--reset") { Description = "Count the listed pages as unchanged from now on." };
        Command command = new("pages", "List the pages that changed.") { id, reset };
        command.SetWork(async (context, cancel) =>
        {
            JsonArray runs = [];
            Table table = new(new("START", Right: true), new("LENGTH", Right: true), new("PAGES", Right: true), new("PAGE", 1, Right: true));
            long bytes = 0;
            Query query = new Query("sessions", context.Line.GetValue(id).ToString(CultureInfo.InvariantCulture), "tracking", "pages").With("limit", RunsPerAnswer);
            string? after = null;
            do
            {
                DirtyPagesDto part = (await context.Client.SendAsync(
                    context.Line.GetValue(reset) ? HttpMethod.Post : HttpMethod.Get, query.With("after", after).ToString(), null, Documents.Types.DirtyPagesDto, cancel)).Value;
                foreach (DirtyRunDto run in part.Runs)
                {
                    bytes += run.Length;
                    table.Add(run.Start, Units.Bytes(run.Length), run.Length / run.PageBytes, Units.Bytes(run.PageBytes));
                    runs.Add(new JsonObject { ["start"] = run.Start, ["length"] = run.Length, ["pageBytes"] = run.PageBytes });
                }

                if (part.Next is not null && part.Next == after)
                    throw ControlFailure.NotUnderstood($"the page after '{after}' is said to be itself");
                after = part.Next;
            }
            while (after is not null);

            if (context.Json)
            {
                context.PrintDocument(new JsonObject { ["session"] = context.Line.GetValue(id), ["runs"] = runs, ["next"] = null });
                return ExitCode.Ok;
            }

            context.Print(table);
            context.Print($"{Units.Bytes(bytes)} changed");
            return ExitCode.Ok;
        });
        return command;
    }

    private static Query Tracking(CommandContext context, Argument<long> id) =>
        new("sessions", context.Line.GetValue(id).ToString(CultureInfo.InvariantCulture), "tracking");
}
