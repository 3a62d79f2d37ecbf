using System.CommandLine;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Supervision;

namespace UffdManager.Daemon.Cli;

/// <summary>The command line: what there is to say, and which exit code answers a line that is not understood.</summary>
internal static class CommandLine
{
    /// <param name="arguments">What was typed.</param>
    /// <param name="inherited">What the process was started with; the command that wants it owns it.</param>
    public static async Task<int> InvokeAsync(string[] arguments, InheritedDescriptors inherited)
    {
        ParseResult line = Build(inherited).Parse(arguments);

        // The library's own answer to a mistake is the help text on standard output, where a script looks for a document.
        if (line.Errors.Count > 0)
        {
            foreach (var error in line.Errors)
                await Console.Error.WriteLineAsync($"uffd-manager: {error.Message}");
            await Console.Error.WriteLineAsync("Try 'uffd-manager --help'.");
            return ExitCode.Usage;
        }

        return await line.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    private static RootCommand Build(InheritedDescriptors inherited)
    {
        Option<string?> file = new("--config")
        {
            Description = $"Read this configuration file instead of {ConfigurationFiles.DefaultFile}.",
            HelpName = "FILE",
            Recursive = true,
        };
        Option<string?> directory = new("--config-dir")
        {
            Description = $"Read drop-ins from this directory instead of {ConfigurationFiles.DefaultDirectory}.",
            HelpName = "DIR",
            Recursive = true,
        };
        Option<bool> sources = new("--sources") { Description = "Say for each value where it comes from." };

        Command run = new("run", "Run the manager in the foreground until SIGTERM or SIGINT.") { file, directory };
        run.SetAction((line, _) => DaemonHost.RunAsync(Files(line), inherited));

        Command check = new("check", "Validate the configuration, reporting every error.");
        check.SetAction(line => ConfigCommands.Check(Files(line)));

        Command show = new("show", "Print the merged configuration as one JSON document.") { sources };
        show.SetAction(line => ConfigCommands.Show(Files(line), line.GetValue(sources)));

        Command schema = new("schema", "Print the JSON schema of the configuration.");
        schema.SetAction(_ => ConfigCommands.Schema());

        Command config = new("config", "Look at the configuration.") { file, directory, check, show, schema };
        return new RootCommand("Resolves page faults for other processes.") { run, config };

        ConfigurationFiles Files(ParseResult line) => new(line.GetValue(file), line.GetValue(directory));
    }
}
