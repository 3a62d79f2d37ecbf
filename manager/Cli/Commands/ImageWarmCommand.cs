using System.CommandLine;
using System.CommandLine.Parsing;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl image warm</c>: reads an image into the cache, with progress.</summary>
internal static class ImageWarmCommand
{
    // The manager says something at least every five seconds.
    private static readonly TimeSpan s_heartbeat = TimeSpan.FromSeconds(5);

    public static Command Create()
    {
        Argument<string> name = ImageCommands.Name();
        Option<(long Start, long End)?> range = new("--range")
        {
            Description = "Only these bytes, the second number being the first one that is left out: 0-256MiB, 1G-.",
            HelpName = "START-END",
            CustomParser = Range,
        };
        Command command = new("warm", "Read an image into the cache, as far as there is room.") { name, range };
        command.SetWork((context, cancel) => WarmAsync(context, context.Line.GetRequiredValue(name), context.Line.GetValue(range), cancel));
        return command;
    }

    private static (long Start, long End)? Range(ArgumentResult result)
    {
        string text = result.Tokens.Single().Value;
        int dash = text.IndexOf('-', StringComparison.Ordinal);
        long end = long.MaxValue;
        if (dash > 0 && SizeArgument.TryParse(text[..dash], out long start) && (dash == text.Length - 1 || SizeArgument.TryParse(text[(dash + 1)..], out end)) && start < end)
            return (start, end);
        result.AddError($"--range: '{text}' is not START-END with START below END, like 0-256MiB.");
        return null;
    }

    private static async Task<int> WarmAsync(CommandContext context, string name, (long Start, long End)? range, CancellationToken cancel)
    {
        using Interruption interruption = new(cancel);
        Query query = new("images", name, "warm");
        if (range is { } given)
        {
            query = query.With("offset", given.Start.ToString());
            query = query.With("length", given.End == long.MaxValue ? null : (given.End - given.Start).ToString());
        }

        using ProgressLine line = new(context);
        try
        {
            await foreach (Answer<ImageWarmingDto> answer in context.Client.StreamAsync(
                HttpMethod.Post, query.ToString(), s_heartbeat + context.RequestTimeout, Documents.Types.ImageWarmingDto, interruption.Token))
            {
                ImageWarmingDto now = answer.Value;
                if (context.Json)
                    context.PrintLine(answer.Document);
                else
                    line.Show(now.Done, now.Total, $"{Units.Bytes(now.Done)} of {Units.Bytes(now.Total)}");
                if (now.Finished)
                {
                    line.Close();
                    return CodeOf(context, now);
                }
            }
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            line.Close();
            context.Warn("stopped; what has been read stays in the cache");
            return interruption.ExitCode;
        }

        throw new CommandException(ExitCode.Unavailable, "the manager ended before the image was warm", "Begin again once it is back.");
    }

    private static int CodeOf(CommandContext context, ImageWarmingDto last)
    {
        switch (last.Result)
        {
            case "warm":
                if (!context.Json)
                    context.Print($"Warm: {Units.Bytes(last.Total)} in {Units.Time(last.ElapsedSeconds * 1e9)}, {Units.Bytes(last.CachedBytes)} of the image are cached");
                return ExitCode.Ok;
            case "full":
                context.Warn($"the cache is full after {Units.Bytes(last.Done)} of {Units.Bytes(last.Total)}: raise images.cacheBytes, or warm less");
                return ExitCode.TemporaryFailure;
            case "stopping":
                context.Warn($"the manager stops, after {Units.Bytes(last.Done)} of {Units.Bytes(last.Total)}");
                return ExitCode.TemporaryFailure;
            default:
                context.Warn($"reading failed after {Units.Bytes(last.Done)}: {Text.Clean(last.Problem ?? last.Result ?? "no reason given")}");
                return ExitCode.OperatingSystem;
        }
    }
}
