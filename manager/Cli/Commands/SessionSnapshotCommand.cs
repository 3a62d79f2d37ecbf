using System.CommandLine;
using System.Globalization;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using UffdManager.Cli.Completion;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl session snapshot</c>: the memory of a running client at one instant, into a file; and how far that is, and its end, for whoever did not begin it.</summary>
internal static class SessionSnapshotCommand
{
    // The manager says something four times a second; a disk that is told to keep what it has may take its time.
    private static readonly TimeSpan s_silence = TimeSpan.FromMinutes(5);

    public static Command Create()
    {
        Argument<long> id = Options.Session();
        Option<string> output = new("--out") { Description = "File that the manager makes; nothing may be there.", HelpName = "FILE" };
        Option<string?> baseImage = new("--base") { Description = "Write only what differs from this image: a diff.", HelpName = "IMAGE" };
        Option<long?> buffer = new("--buffer")
        {
            Description = "Memory of the manager for pages on their way to the file, in MiB, 1 to 16384. Default: 64.",
            HelpName = "MIB",
            CustomParser = NumberArgument.OptionalParser(1, 16384),
        };
        Option<bool> show = new("--show") { Description = "Show how far the snapshot is that is being taken." };
        Option<bool> end = new("--cancel") { Description = "Cancel the snapshot that is being taken; the session goes on." };
        Command command = new("snapshot", "Write the memory of a session at one instant, while it runs on.") { id, output, baseImage, buffer, show, end };
        command.Validators.Add(line =>
        {
            int said = new Option[] { output, show, end }.Count(option => line.GetResult(option) is not null);
            if (said == 0)
                line.AddError("--out says where the memory is written to; a snapshot that is being taken is meant by --show and --cancel.");
            else if (said > 1 || (line.GetResult(output) is null && (line.GetResult(baseImage) is not null || line.GetResult(buffer) is not null)))
                line.AddError("--show and --cancel stand alone: they take no snapshot.");
        });
        command.SetWork(async (context, cancel) =>
        {
            if (context.Line.GetValue(show))
                return await ShowAsync(context, context.Line.GetValue(id), cancel);
            if (context.Line.GetValue(end))
                return await CancelAsync(context, context.Line.GetValue(id), cancel);
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

    private static async Task<int> ShowAsync(CommandContext context, long id, CancellationToken cancel)
    {
        Answer<SnapshotProgressDto> answer = await context.Client.GetAsync(Snapshot(id).ToString(), Documents.Types.SnapshotProgressDto, cancel).OrNoneAsync(Remedy(id));
        if (context.Json)
            context.PrintDocument(answer.Document);
        else
            context.Print(Facts(answer.Value));
        return ExitCode.Ok;
    }

    private static async Task<int> CancelAsync(CommandContext context, long id, CancellationToken cancel)
    {
        await context.Client.SendAsync(HttpMethod.Delete, Snapshot(id).ToString(), cancel).OrNoneAsync(Remedy(id));
        if (context.Json)
            context.PrintDocument(new JsonObject { ["session"] = id, ["cancelled"] = true });
        else
            context.Print($"session {id}: the snapshot is cancelled; the session goes on");
        return ExitCode.Ok;
    }

    private static Facts Facts(SnapshotProgressDto progress)
    {
        Facts facts = new();
        facts.Add("Session", progress.Session);
        facts.Add("Image", progress.Out);
        facts.Add("Asked for", $"{Units.Age(progress.ElapsedSeconds * 1e9)} ago");
        facts.Add("Instant", progress.TakenAt ?? "still to come: the memory is being protected");
        facts.AddIf(progress.TotalBytes > 0, "Done", SnapshotScreen.HowFar(progress));
        facts.AddIf(progress.TakenAt is not null, "Writers", $"held for {Units.Time(progress.HoldSeconds * 1e9)} at the beginning, {progress.SavedPages} pages saved before their writes");
        facts.AddIf(progress.ThrottledSeconds > 0, "Throttled", new Cell($"{Units.Time(progress.ThrottledSeconds * 1e9)}: the file is slower than the reading", Style.Warning));
        return facts;
    }

    private static Query Snapshot(long id) => new("sessions", id.ToString(CultureInfo.InvariantCulture), "snapshot");

    private static string Remedy(long id) => $"'uffdctl session snapshot {id} --out FILE' takes one.";

    private static async Task<int> TakeAsync(CommandContext context, long id, SnapshotRequestDto request, CancellationToken cancel)
    {
        using Interruption interruption = new(cancel);
        using JsonContent body = JsonContent.Create(request, Documents.Types.SnapshotRequestDto);
        using SnapshotScreen screen = new(context);
        try
        {
            await foreach (Answer<SnapshotProgressDto> answer in context.Client.StreamAsync(
                HttpMethod.Post, Snapshot(id).ToString(), s_silence, Documents.Types.SnapshotProgressDto, interruption.Token, body))
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
