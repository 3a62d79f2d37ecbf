using System.CommandLine;
using System.Text.Json.Nodes;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Output;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl bundle</c>: the support archive as a file.</summary>
internal static class BundleCommand
{
    // Gathering may wait for fault loops and read many files in /proc before the first byte comes.
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    public static Command Create()
    {
        Option<string?> output = new Option<string?>("--output", "-o")
        {
            Description = "Write to this file, which is replaced if it exists; - is standard output. Default: a new file in the current directory.",
            HelpName = "FILE",
        }.Completed(ValueKind.File);
        Command command = new("bundle", "Save a support archive: state, configuration without secrets, metrics, log, threads.") { output };
        command.SetWork((context, cancel) => RunAsync(context, context.Line.GetValue(output), cancel));
        return command;
    }

    private static async Task<int> RunAsync(CommandContext context, string? file, CancellationToken cancel)
    {
        bool toOutput = file == "-";
        if (toOutput && (context.Terminal.OutputIsTerminal || context.Json))
            throw new CommandException(ExitCode.Usage, "an archive goes neither to a terminal nor into a document", "Name a file with -o, or redirect standard output.");

        using Interruption interruption = new(cancel);
        using OutputFile target = new(file);
        TimeSpan patience = context.RequestTimeout > s_patience ? context.RequestTimeout : s_patience;
        try
        {
            long size = await context.Client.DownloadAsync(
                "v1/bundle", patience, name => toOutput ? context.Terminal.Out.BaseStream : target.Open(name), interruption.Token);
            if (toOutput)
                return ExitCode.Ok;
            string path = target.Commit();
            if (context.Json)
                context.PrintDocument(new JsonObject { ["file"] = path, ["bytes"] = size });
            else
                context.Print($"{path}: {Units.Bytes(size)}");
            return ExitCode.Ok;
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            return interruption.ExitCode;
        }
        catch (Exception e) when (!toOutput && e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException(ExitCode.CannotCreate, $"the archive cannot be written: {e.Message}", "Name another file with -o.");
        }
    }
}
