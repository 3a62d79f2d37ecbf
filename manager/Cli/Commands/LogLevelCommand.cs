using System.CommandLine;
using System.Net.Http.Headers;
using System.Text.Json;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl loglevel</c>: read or change what the manager logs, until the next reload.</summary>
internal static class LogLevelCommand
{
    private static readonly string[] s_levels = ["trace", "debug", "information", "warning", "error", "critical", "none"];

    public static Command Create()
    {
        Argument<string?> level = new("level")
        {
            Description = $"The new level: {string.Join(", ", s_levels)}. Without it the levels are shown.",
            HelpName = "LEVEL",
            Arity = ArgumentArity.ZeroOrOne,
        };
        level.AcceptOnlyFromAmong(s_levels);
        Option<string[]> category = new("--category")
        {
            Description = "Another level for categories that begin with PREFIX; may be given several times. Without LEVEL the exception goes away.",
            HelpName = "PREFIX=[LEVEL]",
        };
        category.Validators.Add(result =>
        {
            foreach (string text in result.Tokens.Select(token => token.Value))
            {
                if (!TryParse(text, out _, out _))
                    result.AddError($"--category: '{text}' is not PREFIX=LEVEL with a level of {string.Join(", ", s_levels)}.");
            }
        });
        Command command = new("loglevel", "Show or change the level of the manager's log, until the next reload.") { level, category };
        command.SetWork(async (context, cancel) =>
        {
            string[] categories = context.Line.GetValue(category) ?? [];
            string? wanted = context.Line.GetValue(level);
            Answer<LogLevelsDto> answer = wanted is null && categories.Length == 0
                ? await context.Client.GetAsync("v1/loglevel", Documents.Types.LogLevelsDto, cancel)
                : await context.Client.SendAsync(HttpMethod.Put, "v1/loglevel", Body(wanted, categories), Documents.Types.LogLevelsDto, cancel);
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                context.Print(Facts(answer.Value));
            return ExitCode.Ok;
        });
        return command;
    }

    private static ByteArrayContent Body(string? level, string[] categories)
    {
        Dictionary<string, string?> changes = [];
        foreach (string text in categories)
        {
            _ = TryParse(text, out string prefix, out string? value);
            changes[prefix] = value;
        }

        LogLevelChangeDto change = new() { Level = level, Categories = changes.Count == 0 ? null : changes };
        ByteArrayContent body = new(JsonSerializer.SerializeToUtf8Bytes(change, Documents.Types.LogLevelChangeDto));
        body.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return body;
    }

    private static Facts Facts(LogLevelsDto levels)
    {
        Facts facts = new();
        facts.Add("Level", levels.Level);
        facts.AddIf(levels.Configured != levels.Level, "Configured", levels.Configured);
        foreach ((string prefix, string level) in levels.Categories)
            facts.Add($"Category {Text.Clean(prefix)}", level);
        return facts;
    }

    private static bool TryParse(string text, out string prefix, out string? level)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        prefix = equals < 0 ? "" : text[..equals];
        level = equals < 0 || equals == text.Length - 1 ? null : text[(equals + 1)..];
        return prefix.Length > 0 && (level is null || s_levels.Contains(level));
    }
}
