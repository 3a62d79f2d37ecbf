using System.Text.Json.Nodes;
using UffdManager.Control;
using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.Hosting;

namespace UffdManager.Daemon.Inspection;

/// <summary>The configuration as it may be shown: without what a URL may carry beside its address.</summary>
internal static class ConfigurationView
{
    public const string Redacted = "REDACTED";

    public static ConfigurationDto Document(ConfigurationInUse.Snapshot snapshot, bool withSources) => new()
    {
        LoadedAt = Words.Time(snapshot.At),
        Origins = snapshot.Loaded.Origins,
        NeedsRestart = snapshot.NeedsRestart,
        Settings = (JsonObject)JsonNode.Parse(ConfigurationDocument.Write([.. snapshot.Loaded.Settings.Select(Redact)], withSources))!,
    };

    public static ConfigurationCheckDto Document(ReloadOutcome outcome) => new()
    {
        Valid = outcome.Succeeded,
        Errors = Problems(outcome),
        Warnings = [.. outcome.Warnings],
        NeedsRestart = outcome.NeedsRestart,
        Origins = outcome.Loaded.Origins,
    };

    public static IReadOnlyList<ConfigurationProblemDto> Problems(ReloadOutcome outcome) =>
        [.. outcome.Errors.Select(error => new ConfigurationProblemDto { Key = error.Key, Problem = error.Problem, Origin = error.Origin })];

    private static EffectiveSetting Redact(EffectiveSetting setting) =>
        setting.Value is JsonValue value && value.TryGetValue(out string? text) && RedactUrl(text) is { } clean ? setting with { Value = clean } : setting;

    /// <summary>A URL without its secrets; null for what is none, or has none.</summary>
    internal static string? RedactUrl(string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.IsFile || (url.UserInfo.Length == 0 && url.Query.Length == 0))
            return null;

        string user = url.UserInfo.Length == 0 ? "" : Redacted + "@";
        string query = url.Query.Length == 0 ? "" : "?" + Redacted;
        string path = url.AbsolutePath == "/" && query.Length == 0 ? "" : url.AbsolutePath;
        return $"{url.Scheme}://{user}{url.Authority}{path}{query}";
    }
}
