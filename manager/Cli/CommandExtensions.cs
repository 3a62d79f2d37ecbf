using System.CommandLine;
using System.Text.Json.Nodes;
using UffdManager.Cli.Output;

namespace UffdManager.Cli;

/// <summary>How a command's work becomes its exit code.</summary>
internal static class CommandExtensions
{
    // errno of a pipe whose reader has gone, as .NET has it in IOException.HResult.
    private const int BrokenPipe = 32;

    /// <summary>Gives the command its work, which returns an exit code or throws <see cref="CommandException"/>.</summary>
    public static void SetWork(this Command command, Func<CommandContext, CancellationToken, Task<int>> work) =>
        command.SetAction((line, cancel) => RunAsync(line, work, cancel));

    private static async Task<int> RunAsync(ParseResult line, Func<CommandContext, CancellationToken, Task<int>> work, CancellationToken cancel)
    {
        using Terminal terminal = new();
        using CommandContext context = new(line, terminal);
        try
        {
            int code;
            try
            {
                code = await work(context, cancel);
            }
            catch (CommandException e)
            {
                code = Report(context, e);
            }

            await terminal.Out.FlushAsync(CancellationToken.None);
            return code;
        }
        catch (IOException e) when (e.HResult == BrokenPipe)
        {
            // `uffdctl session list | head`: the reader has what it wanted.
            return ExitCode.Ok;
        }
        catch (IOException e)
        {
            context.Warn($"standard output cannot be written: {e.Message}");
            return ExitCode.InputOutput;
        }
    }

    private static int Report(CommandContext context, CommandException e)
    {
        // What has been printed before the failure comes before it.
        context.Terminal.Out.Flush();
        foreach (string text in e.Message.Split('\n'))
            context.Warn(text);
        if (e.Remedy is not null)
            context.Terminal.Error.WriteLine(e.Remedy);
        if (context.Json)
        {
            context.PrintDocument(new JsonObject
            {
                ["error"] = new JsonObject
                {
                    ["exitCode"] = e.ExitCode,
                    ["problem"] = e.Problem,
                    ["message"] = e.Message,
                    ["remedy"] = e.Remedy,
                },
            });
        }

        return e.ExitCode;
    }
}
