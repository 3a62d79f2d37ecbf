using System.CommandLine;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl drain</c>: no new sessions, and wait until the last one has ended.</summary>
internal static class DrainCommand
{
    // The manager says something at least every five seconds.
    private static readonly TimeSpan s_heartbeat = TimeSpan.FromSeconds(5);

    public static Command Create()
    {
        Option<TimeSpan?> timeout = new("--timeout")
        {
            Description = "Stop waiting after this time; the manager goes on draining. Default: wait for ever.",
            HelpName = "DURATION",
            CustomParser = result => DurationArgument.Parse(result),
        };
        Option<bool> noWait = new("--no-wait") { Description = "Begin to drain, and do not wait for the sessions to end." };
        Option<bool> end = new("--cancel") { Description = "Accept new sessions again." };
        Command command = new("drain", "Refuse new sessions and wait until those there are have ended.") { timeout, noWait, end };
        command.Validators.Add(line =>
        {
            if (line.GetResult(end) is not null && (line.GetResult(timeout) is not null || line.GetResult(noWait) is not null))
                line.AddError("--cancel stands alone: it does not wait.");
            if (line.GetResult(timeout) is not null && line.GetResult(noWait) is not null)
                line.AddError("--timeout and --no-wait exclude each other.");
        });
        command.SetWork((context, cancel) => context.Line.GetValue(end)
            ? CancelAsync(context, cancel)
            : DrainAsync(context, context.Line.GetValue(timeout), context.Line.GetValue(noWait), cancel));
        return command;
    }

    private static async Task<int> CancelAsync(CommandContext context, CancellationToken cancel)
    {
        bool wasDraining = true;
        try
        {
            await context.Client.SendAsync(HttpMethod.Delete, "v1/drain", cancel);
        }
        catch (CommandException e) when (e.Problem == "conflict")
        {
            wasDraining = false;
        }

        if (context.Json)
            context.PrintDocument(new System.Text.Json.Nodes.JsonObject { ["cancelled"] = wasDraining });
        else if (wasDraining)
            context.Print("New sessions are accepted again");
        else
            context.Warn("nothing was being drained");
        return wasDraining ? ExitCode.Ok : ExitCode.No;
    }

    private static async Task<int> DrainAsync(CommandContext context, TimeSpan? timeout, bool noWait, CancellationToken cancel)
    {
        using Interruption interruption = new(cancel);
        Query query = new Query("drain").With("timeout", timeout is { } limit ? $"{Math.Ceiling(limit.TotalMilliseconds)}ms" : null);
        using DrainScreen screen = new(context);
        try
        {
            await foreach (Answer<DrainProgressDto> answer in context.Client.StreamAsync(
                HttpMethod.Post, query.ToString(), s_heartbeat + context.RequestTimeout, Documents.Types.DrainProgressDto, interruption.Token))
            {
                screen.Show(answer);
                if (answer.Value.Done)
                    return CodeOf(context, answer.Value, screen);
                if (noWait)
                {
                    screen.Close();
                    if (!context.Json)
                        context.Print($"Draining: {answer.Value.Sessions} sessions left");
                    return ExitCode.Ok;
                }
            }
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            screen.Close();
            context.Warn("the manager goes on draining; 'uffdctl drain --cancel' lets it accept new sessions again");
            return interruption.ExitCode;
        }

        throw new CommandException(
            ExitCode.Unavailable, "the manager ended before its sessions", "A drain is not remembered over a restart: begin it again if it is still wanted.");
    }

    private static int CodeOf(CommandContext context, DrainProgressDto last, DrainScreen screen)
    {
        screen.Close();
        switch (last.Result)
        {
            case "drained":
                if (!context.Json)
                    context.Print($"Drained in {Units.Time(last.ElapsedSeconds * 1e9)}: no session is left");
                return ExitCode.Ok;
            case "timeout":
                context.Warn($"{last.Sessions} sessions are left, the manager goes on draining");
                return ExitCode.TemporaryFailure;
            case "ended":
                context.Warn("somebody else has ended the drain");
                return ExitCode.No;
            case "stopping":
                context.Warn($"the manager stops with {last.Sessions} sessions left");
                return ExitCode.TemporaryFailure;
            default:
                context.Warn($"the drain ended with '{Text.Clean(last.Result)}', {last.Sessions} sessions are left");
                return last.Sessions == 0 ? ExitCode.Ok : ExitCode.TemporaryFailure;
        }
    }
}
