using System.CommandLine;
using System.CommandLine.Parsing;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Cli.Top;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl top</c>: what goes on now, per tenant and session.</summary>
internal static class TopCommand
{
    // Bounds of the control API.
    private const int MostSessions = 1000;
    private const int DefaultSessions = 50;
    private const int MostFrames = 1000000;

    private static readonly TimeSpan s_default = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_shortest = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(60);

    private static readonly Option<TimeSpan?> s_interval = new("--interval", "-i")
    {
        Description = "Time between two pictures, 100ms to 60s. Default: 1s.",
        HelpName = "DURATION",
        CustomParser = ParseInterval,
    };

    private static readonly Option<string?> s_sort = new("--sort", "-s")
    {
        Description = $"Order of the sessions: {string.Join(", ", TopSort.All.Select(sort => sort.Name))}. Default: {TopSort.Default.Name}.",
        HelpName = "KEY",
    };

    private static readonly Option<bool> s_reverse = new("--reverse", "-r") { Description = "Turn the order round." };
    private static readonly Option<string?> s_tenant = Options.Tenant("Only this tenant and its sessions.");

    private static readonly Option<long?> s_limit = new("--limit", "-l")
    {
        Description = $"Sessions at most, 0 to {MostSessions}. Default: {DefaultSessions}, on a terminal as many as fit.",
        HelpName = "N",
        CustomParser = NumberArgument.OptionalParser(0, MostSessions),
    };

    private static readonly Option<bool> s_once = new("--once", "-1") { Description = "Show one interval and end." };
    private static readonly Option<bool> s_batch = new("--batch", "-b") { Description = "Print pictures below each other; so it is without a terminal." };

    private static readonly Option<long?> s_count = new("--count", "-n")
    {
        Description = "End after so many pictures; implies --batch.",
        HelpName = "N",
        CustomParser = NumberArgument.OptionalParser(1, MostFrames),
    };

    public static Command Create()
    {
        s_sort.AcceptOnlyFromAmong([.. TopSort.All.Select(sort => sort.Name)]);
        Command command = new("top", "Watch tenants and sessions: faults per second, percentiles, memory, queues.")
        {
            s_interval, s_sort, s_reverse, s_tenant, s_limit, s_once, s_batch, s_count,
        };
        command.Validators.Add(line =>
        {
            if (line.GetResult(s_once) is not null && line.GetResult(s_count) is not null)
                line.AddError("--once and --count exclude each other.");
        });
        command.SetWork(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(CommandContext context, CancellationToken cancel)
    {
        TopState state = new()
        {
            Sort = TopSort.All.Single(sort => sort.Name == (context.Line.GetValue(s_sort) ?? TopSort.Default.Name)),
            IsReversed = context.Line.GetValue(s_reverse),
            Rows = (int?)context.Line.GetValue(s_limit),
        };
        TimeSpan interval = context.Line.GetValue(s_interval) ?? s_default;
        TimeSpan silence = interval + context.RequestTimeout;
        long? count = context.Line.GetValue(s_once) ? 1 : context.Line.GetValue(s_count);
        bool batch = count is not null || context.Json || context.Line.GetValue(s_batch) || !context.Terminal.OutputIsTerminal
            || Environment.GetEnvironmentVariable("TERM") is null or "" or "dumb";

        // The manager knows the busiest only: for another order all are needed.
        int sessions = context.Json || (batch && state.Sort == TopSort.Default && !state.IsReversed) ? state.Rows ?? DefaultSessions : MostSessions;
        string path = new Query("top").With("interval", $"{interval.TotalMilliseconds:0}ms").With("count", count?.ToString())
            .With("tenant", context.Line.GetValue(s_tenant)).With("limit", $"{sessions}").ToString();
        return batch
            ? await PrintAsync(context, path, silence, state, cancel)
            : await new TopSession(context, path, silence, state).RunAsync(cancel);
    }

    private static async Task<int> PrintAsync(CommandContext context, string path, TimeSpan silence, TopState options, CancellationToken cancel)
    {
        TopState state = new() { Sort = options.Sort, IsReversed = options.IsReversed, Rows = options.Rows ?? DefaultSessions };
        bool single = context.Line.GetValue(s_once);
        using Interruption interruption = new(cancel);
        int frames = 0;
        try
        {
            await foreach (Answer<TopFrameDto> answer in context.Client.StreamAsync(
                HttpMethod.Get, path, silence, Documents.Types.TopFrameDto, interruption.Token))
            {
                if (context.Json && single)
                    context.PrintDocument(answer.Document);
                else if (context.Json)
                    context.PrintLine(answer.Document);
                else
                    context.Terminal.WriteLines([.. frames > 0 ? [""] : Array.Empty<string>(), .. TopView.Render(answer.Value, state, context.Terminal.Width, null, context.Palette)]);
                await context.Terminal.Out.FlushAsync(interruption.Token);
                frames++;
            }
        }
        catch (OperationCanceledException) when (interruption.Token.IsCancellationRequested)
        {
            return interruption.ExitCode;
        }

        long? wanted = single ? 1 : context.Line.GetValue(s_count);
        return frames == wanted ? ExitCode.Ok : throw new CommandException(ExitCode.Unavailable, $"the manager ended after {frames} pictures");
    }

    private static TimeSpan? ParseInterval(ArgumentResult result)
    {
        TimeSpan interval = DurationArgument.Parse(result);
        if (interval != default && (interval < s_shortest || interval > s_longest))
            result.AddError($"--interval must be {Units.Time(s_shortest.TotalMilliseconds * 1e6)} to {Units.Time(s_longest.TotalMilliseconds * 1e6)}.");
        return interval;
    }
}
