using System.Collections.Immutable;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;

namespace UffdManager.Daemon.Control;

/// <summary>What is logged, until the next reload.</summary>
internal sealed partial class LogLevelRoutes(LogLevelSwitch levels, ILogger<LogLevelRoutes> logger) : IControlRoutes
{
    private const int MaximumCategories = 64;
    private const int LongestCategory = 128;

    private static readonly IReadOnlyList<string> s_words = Settings.Find("logging.level")!.Choices;

    public IEnumerable<ControlRoute> Routes =>
    [
        new(HttpMethods.Get, "/v1/loglevel", AccessRight.Read, ShowAsync),
        new(HttpMethods.Put, "/v1/loglevel", AccessRight.Admin, ChangeAsync),
    ];

    private Task ShowAsync(ControlRequest request)
    {
        request.RefuseOthers();
        return AnswerAsync(request);
    }

    private async Task ChangeAsync(ControlRequest request)
    {
        request.RefuseOthers();
        LogLevelChangeDto change = await request.BodyAsync(ControlResponse.Json.LogLevelChangeDto);
        LogLevel? level = change.Level is { } word ? Parse("level", word) : null;
        List<KeyValuePair<string, LogLevel?>> categories = [];
        foreach ((string category, string? least) in change.Categories ?? ImmutableDictionary<string, string?>.Empty)
        {
            if (category.Length is 0 or > LongestCategory || category.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_')))
                throw new ProblemException(ProblemKind.BadRequest, $"\"{category}\" is no category", $"allowed are 1 to {LongestCategory} letters, digits, dots and underscores, for example UffdManager.Daemon.FrontDoors");
            categories.Add(new(category, least is null ? null : Parse(category, least)));
        }

        // All or nothing: the level last, because it cannot fail.
        if (!levels.TryChange(categories, MaximumCategories))
            throw new ProblemException(ProblemKind.BadRequest, $"there may be {MaximumCategories} categories with a level of their own", "take some away by setting them to null");
        if (level is { } wanted)
            levels.Level = wanted;

        // Above any level that is likely to be set: who changed it must be found in the log.
        LogChanged(request.Peer, Word(levels.Level), string.Join(", ", levels.Categories.Select(category => $"{category.Key}={Word(category.Value)}")));
        await AnswerAsync(request);
    }

    private Task AnswerAsync(ControlRequest request)
    {
        LogLevelsDto document = new()
        {
            Level = Word(levels.Level),
            Configured = Word(levels.Configured),
            Categories = levels.Categories.ToDictionary(category => category.Key, category => Word(category.Value), StringComparer.Ordinal),
        };
        return ControlResponse.JsonAsync(request.Http, document, ControlResponse.Json.LogLevelsDto);
    }

    private static string Word(LogLevel level) => s_words[(int)level];

    private static LogLevel Parse(string what, string word)
    {
        int index = s_words.ToList().IndexOf(word.ToLowerInvariant());
        return index >= 0
            ? (LogLevel)index
            : throw new ProblemException(ProblemKind.BadRequest, $"{what}: \"{word}\" is not allowed", $"allowed is {string.Join(", ", s_words)}");
    }

    [LoggerMessage(2231, LogLevel.Warning, "Log level changed for {Peer}: {Level}, exceptions: {Categories}")]
    private partial void LogChanged(ControlPeer peer, string level, string categories);
}
