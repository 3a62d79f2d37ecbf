using System.CommandLine;
using UffdManager.Cli.Completion;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl completion</c>: the scripts, made from the command line itself.</summary>
internal static class CompletionCommand
{
    public static Command Create()
    {
        Argument<string> shell = new("shell") { Description = "bash, zsh or fish.", HelpName = "SHELL" };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        Command command = new("completion", "Print a completion script for a shell.") { shell };
        command.SetWork((context, _) =>
        {
            var tree = CompletionNode.Of(CommandLine.Build());
            context.Terminal.Out.Write(context.Line.GetRequiredValue(shell) switch
            {
                "bash" => BashScript.Write(tree),
                "zsh" => ZshScript.Write(tree),
                _ => FishScript.Write(tree),
            });
            return Task.FromResult(ExitCode.Ok);
        });
        return command;
    }
}
