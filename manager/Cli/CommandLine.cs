using System.CommandLine;
using System.CommandLine.Help;
using UffdManager.Cli.Commands;
using UffdManager.Cli.Completion;

namespace UffdManager.Cli;

/// <summary>The command line: what there is to say, and which exit code answers a line that is not understood.</summary>
internal static class CommandLine
{
    public static RootCommand Build()
    {
        RootCommand root = new("Looks after the manager of page faults: what it serves, for whom, and how fast.")
        {
            StatusCommand.Create(),
            TopCommand.Create(),
            SessionCommands.Create(),
            RegionCommands.Create(),
            TenantCommands.Create(),
            PolicyCommands.Create(),
            ImageCommands.Create(),
            WorkingSetCommands.Create(),
            SnapshotCommands.Create(),
            ConfigCommands.Create(),
            DrainCommand.Create(),
            LogLevelCommand.Create(),
            ReloadCommand.Create(),
            BundleCommand.Create(),
            CompletionCommand.Create(),
            CompletionQuery.Create(),
        };
        foreach (Option option in GlobalOptions.All)
            root.Add(option);

        // [suggest] and its kin are for a helper program of the library that nobody has here; an id may begin with a bracket.
        root.Directives.Clear();
        return root;
    }

    public static async Task<int> InvokeAsync(string[] arguments)
    {
        // No response files: a tenant may be called @something.
        ParseResult line = Build().Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });

        // The library's own answer to a mistake is the help text on standard output, where a script looks for a document.
        if (line.Errors.Count > 0 && line.Action is not HelpAction)
        {
            foreach (string message in Mistakes.Of(line))
                await Console.Error.WriteLineAsync($"uffdctl: {message}");
            await Console.Error.WriteLineAsync($"Try '{PathOf(line.CommandResult.Command)} --help'.");
            return ExitCode.Usage;
        }

        return await line.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    /// <summary>The words that lead to a command, the program's name first.</summary>
    public static string PathOf(Command command) =>
        command.Parents.OfType<Command>().FirstOrDefault() is { } parent ? $"{PathOf(parent)} {command.Name}" : "uffdctl";
}
