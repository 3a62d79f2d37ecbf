using System.CommandLine;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using UffdManager.Cli.Control;
using UffdManager.Cli.Output;
using UffdManager.Control;

namespace UffdManager.Cli.Commands;

/// <summary><c>uffdctl config</c>: the configuration in use, and what a reload would say.</summary>
internal static class ConfigCommands
{
    public static Command Create() => new("config", "The configuration that the manager uses, and the one that it would.") { Check(), Show() };

    private static Command Check()
    {
        Command command = new("check", "Say whether the manager could use its configuration files as they are now.");
        command.SetWork(async (context, cancel) =>
        {
            Answer<ConfigurationCheckDto> answer = await context.Client.SendAsync(
                HttpMethod.Post, "v1/config/check", null, Documents.Types.ConfigurationCheckDto, cancel);
            ConfigurationCheckDto check = answer.Value;
            if (context.Json)
                context.PrintDocument(answer.Document);
            else
                Print(context, check);
            return check.Valid ? ExitCode.Ok : ExitCode.Configuration;
        });
        return command;
    }

    private static void Print(CommandContext context, ConfigurationCheckDto check)
    {
        foreach (ConfigurationProblemDto error in check.Errors)
            context.Warn(ControlFailure.Describe(error));
        Notes(context, check.Warnings, check.NeedsRestart);
        if (check.Valid)
            context.Print($"The configuration is valid: {Origins(check.Origins)}");
        else
            context.Warn($"the configuration has {check.Errors.Count} error{(check.Errors.Count == 1 ? "" : "s")}, a reload would be refused");
    }

    /// <summary>What a check or a reload says beside errors.</summary>
    internal static void Notes(CommandContext context, IEnumerable<string> warnings, IReadOnlyCollection<string> needsRestart)
    {
        foreach (string warning in warnings)
            context.Warn($"warning: {Text.Clean(warning)}");
        if (needsRestart.Count > 0)
            context.Warn($"warning: changes of {Text.Clean(string.Join(", ", needsRestart))} need a restart of the manager");
    }

    /// <summary>The documents of a configuration in one line.</summary>
    internal static string Origins(IReadOnlyCollection<string> origins) => origins.Count == 0 ? "defaults alone" : Text.Clean(string.Join(", ", origins));

    private static Command Show()
    {
        Option<bool> sources = new("--sources") { Description = "Say for each value where it comes from." };
        Command command = new("show", "Print the configuration in use, as a file that could be read again.") { sources };
        command.SetWork(async (context, cancel) =>
        {
            bool withSources = context.Line.GetValue(sources);
            Query query = new Query("config").With("sources", withSources ? "true" : null);
            Answer<ConfigurationDto> answer = await context.Client.GetAsync(query.ToString(), Documents.Types.ConfigurationDto, cancel);
            if (context.Json)
            {
                context.PrintDocument(answer.Document);
                return ExitCode.Ok;
            }

            if (withSources)
                context.Print(Table(answer.Value.Settings));
            else
                context.PrintDocument(answer.Value.Settings);
            Notes(context, [], answer.Value.NeedsRestart);
            return ExitCode.Ok;
        });
        return command;
    }

    private static Table Table(JsonObject settings)
    {
        Table table = new(new("KEY"), new("VALUE", Shrink: 12), new("SOURCE", Shrink: 12));
        AddAll(table, settings, "");
        return table;
    }

    private static void AddAll(Table table, JsonObject section, string path)
    {
        foreach ((string key, JsonNode? node) in section)
        {
            if (node is not JsonObject below)
                throw ControlFailure.NotUnderstood($"{path}{key} is no section");
            if (below["source"] is JsonValue source && below.ContainsKey("value"))
                table.Add($"{path}{key}", Compact(below["value"]), source.ToString());
            else
                AddAll(table, below, $"{path}{key}.");
        }
    }

    private static string Compact(JsonNode? value)
    {
        if (value is null)
            return "-";
        using MemoryStream text = new();
        using (Utf8JsonWriter writer = new(text, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            value.WriteTo(writer);
        return Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length);
    }
}
