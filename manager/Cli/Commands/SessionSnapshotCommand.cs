using System.CommandLine;
using System.Globalization;
using System.Net.Http.Json;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl session snapshot</c>: the memory of a running client at one instant, into a file.</summary>
internal static class SessionSnapshotCommand
{
    // The manager says something four times a second; a disk that is told to keep what it has may take its time.
    private static readonly TimeSpan s_silence = TimeSpan.FromMinutes(5);

    public static Command Create()
    {
        Argument<long> id = Options.Session();
        Option<string> output = new("--out") { Description = "File that the manager makes; nothing may be there.", HelpName = "FILE", Required = true };
        Option<string?> baseImage = new("--base") { Description = "Write only what differs from this image: a diff.", HelpName = "IMAGE" };
        Option<long?> buffer = new("--buffer")
        {
            Description = "Memory of the manager for pages on their way to the file, in MiB, 1 to 16384. Default: 64.",
            HelpName = "MIB",
            CustomParser = NumberArgument.OptionalParser(1, 16384),
        };
        Command command = new("snapshot", "Write the memory of a session at one instant, while it runs on.") { id, output, baseImage, buffer };
        command.SetWork(async (context, cancel) =>
        {
            SnapshotRequestDto request = new()
            {
                Out = Path.GetFullPath(context.Line.GetRequiredValue(output)),
                Base = context.Line.GetValue(baseImage),
                BufferBytes = context.Line.GetValue(buffer) * (1L << 20),
            };
            return await TakeAsync(context, context.Line.GetValue(id), request, cancel);
        });
        return command;
    }

    private static async Task<int> TakeAsync(CommandContext context, long id, SnapshotRequestDto request, CancellationToken cancel)
    {
        using Interruption interruption = new(cancel);
        Query query = new("sessions", id.ToString(CultureInfo.InvariantCulture), "snapshot");
        using JsonContent body = JsonContent.Create(request, Documents.Types.SnapshotRequestDto);
        using SnapshotScreen screen = new(context);
        try
        {
            await foreach (Answer<SnapshotProgressDto> answer in context.Client.StreamAsync(
                HttpMethod.Post, query.ToString(), s_silence, Documents.Types.SnapshotProgressDto, interruption.Token, body))
            {
                screen.Show(answer);
                if (answer.Value.Done)
                    return End(context, answer.Value, screen);
            }
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            screen.Close();
            context.Warn("the snapshot is cancelled; the session goes on");
            return interruption.ExitCode;
        }

        throw new CommandException(ExitCode.Unavailable, "the manager ended before the snapshot", "There is no image; the session goes on with the next manager.");
    }

    private static int End(CommandContext context, SnapshotProgressDto last, SnapshotScreen screen)
    {
        screen.Close();
        if (last.Result != "written")
        {
            throw new CommandException(
                ExitCode.TemporaryFailure, $"there is no image: {Text.Clean(last.Reason ?? "the manager does not say why")}", "The session goes on as before.")
            { Problem = "failed" };
        }

        if (!context.Json)
        {
            context.Print(
                $"{Units.Bytes(last.TotalBytes)} of session {last.Session} as of {last.TakenAt}: {Units.Bytes(last.WrittenBytes)} written in {Units.Time(last.ElapsedSeconds * 1e9)}, "
                + $"writers held for {Units.Time(last.HoldSeconds * 1e9)} at the beginning, {last.SavedPages} pages saved before their writes");
        }

        return ExitCode.Ok;
    }
}
