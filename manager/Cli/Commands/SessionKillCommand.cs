using System.CommandLine;
using System.Text.Json.Nodes;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl session kill</c>: ends processes, one by one; the first that cannot be ended does not keep the others alive.</summary>
internal static class SessionKillCommand
{
    private static readonly TimeSpan s_poll = TimeSpan.FromMilliseconds(50);

    public static Command Create()
    {
        Argument<long[]> ids = new Argument<long[]>("id")
        {
            Description = "Ids of the sessions.",
            HelpName = "ID",
            Arity = ArgumentArity.OneOrMore,
            CustomParser = NumberArgument.IdsParser,
        }
            .Completed(ValueKind.Session);
        Option<bool> yes = new("--yes", "-y") { Description = "Do not ask." };
        Option<bool> wait = new("--wait") { Description = "Wait until the processes are gone." };
        Command command = new("kill", "Kill the processes of sessions (SIGKILL).") { ids, yes, wait };
        command.SetWork(async (context, cancel) =>
        {
            long[] wanted = [.. context.Line.GetRequiredValue(ids).Distinct()];
            if (!context.Line.GetValue(yes) && !await ConfirmAsync(context, wanted, cancel))
            {
                context.Warn("nothing was killed");
                if (context.Json)
                    context.PrintDocument(new JsonObject { ["killed"] = new JsonArray(), ["failed"] = new JsonArray() });
                return ExitCode.No;
            }

            return await KillAsync(context, wanted, context.Line.GetValue(wait), cancel);
        });
        return command;
    }

    private static async Task<int> KillAsync(CommandContext context, long[] ids, bool wait, CancellationToken cancel)
    {
        JsonArray killed = [];
        JsonArray failed = [];
        int code = ExitCode.Ok;
        foreach (long id in ids)
        {
            try
            {
                Query query = new("sessions", id.ToString());
                Answer<SessionDto> answer = await context.Client.SendAsync(
                    HttpMethod.Delete, query.ToString(), null, Documents.Types.SessionDto, cancel);
                if (wait)
                    await WaitAsync(context, query, id, cancel);
                killed.Add(JsonNode.Parse(answer.Document.Span));
                if (!context.Json)
                    context.Print($"session {id}: killed process {answer.Value.Pid} ({Text.Clean(answer.Value.Command ?? "name unknown")})");
            }
            catch (CommandException e) when (e.Problem is not (null or "forbidden"))
            {
                // One session's trouble. What concerns them all (no manager, no right) ends the command.
                context.Terminal.Out.Flush();
                context.Warn($"session {id}: {e.Message}");
                failed.Add(new JsonObject { ["id"] = id, ["problem"] = e.Problem, ["message"] = e.Message });
                code = code == ExitCode.Ok ? e.ExitCode : code;
            }
        }

        if (context.Json)
            context.PrintDocument(new JsonObject { ["killed"] = killed, ["failed"] = failed });
        return code;
    }

    private static async Task WaitAsync(CommandContext context, Query query, long id, CancellationToken cancel)
    {
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        deadline.CancelAfter(context.RequestTimeout);
        try
        {
            while ((await context.Client.GetAsync(query.ToString(), Documents.Types.SessionDto, cancel)).Value.State != "ended")
            {
                // The pace of a poll with a deadline: the control interface tells no one when a session ends.
                await Task.Delay(s_poll, deadline.Token);
            }
        }
        catch (CommandException e) when (e.Problem == "not_found")
        {
            // That is what was waited for.
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            throw new CommandException(
                ExitCode.TemporaryFailure, $"the process of session {id} was killed and is not gone after {Units.Time(context.RequestTimeout.TotalMilliseconds * 1e6)}")
            { Problem = "timeout" };
        }
    }

    private static async Task<bool> ConfirmAsync(CommandContext context, long[] ids, CancellationToken cancel)
    {
        if (!context.Terminal.InputIsTerminal)
            throw new CommandException(ExitCode.Usage, "there is no terminal to ask at whether to kill", "Say --yes to do it without a question.");

        TextWriter error = context.Terminal.Error;
        foreach (long id in ids)
        {
            SessionDto session = (await context.Client.GetAsync(new Query("sessions", id.ToString()).ToString(), Documents.Types.SessionDto, cancel)).Value;
            string command = Text.Clean(session.Command ?? "name unknown");
            await error.WriteLineAsync(
                $"session {id}: process {session.Pid} ({command}) of tenant {Text.Clean(session.Tenant)}, {Units.Bytes(session.ResidentBytes)} resident");
        }

        await error.WriteAsync(ids.Length == 1 ? "Kill it? [y/N] " : $"Kill these {ids.Length}? [y/N] ");
        return Console.ReadLine()?.Trim().ToUpperInvariant() is "Y" or "YES";
    }
}
