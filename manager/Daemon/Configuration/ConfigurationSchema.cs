using System.Text.Json.Nodes;

namespace UffdManager.Daemon.Configuration;

/// <summary>Writes the JSON schema of the configuration from the table of settings, so that an editor knows what the daemon knows.</summary>
internal static class ConfigurationSchema
{
    private const string SizePattern = "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$";
    private const string DurationPattern = "^(0|[0-9]+ ?(us|ms|s|m|h)|([0-9]+[.])?[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,7})?)?)$";

    public static string Write()
    {
        JsonObject root = Section();
        foreach (Setting setting in Settings.All)
        {
            string[] parts = setting.Path.Split('.');
            JsonObject section = root;
            for (int i = 0; i < parts.Length - 1; i++)
                section = parts[i + 1] == "*" ? Named(section, parts[i]) : parts[i] == "*" ? section : Below(section, parts[i]);

            ((JsonObject)section["properties"]!)[parts[^1]] = Value(setting);
            if (setting.Required && section["required"] is JsonArray required)
                required.Add(parts[^1]);
            else if (setting.Required)
                section["required"] = new JsonArray(parts[^1]);
        }

        JsonObject document = new()
        {
            ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
            ["title"] = "uffd-manager.conf(5)",
        };
        foreach ((string key, JsonNode? value) in root)
            document[key] = value!.DeepClone();
        return document.ToJsonString(ConfigurationDocument.Writing) + "\n";
    }

    private static JsonObject Section() => new() { ["type"] = "object", ["additionalProperties"] = false, ["properties"] = new JsonObject() };

    private static JsonObject Below(JsonObject section, string name)
    {
        var properties = (JsonObject)section["properties"]!;
        if (properties[name] is not JsonObject below)
            properties[name] = below = Section();
        return below;
    }

    private static JsonObject Named(JsonObject section, string name)
    {
        var properties = (JsonObject)section["properties"]!;
        if (properties[name] is not JsonObject map)
        {
            properties[name] = map = new JsonObject
            {
                ["type"] = "object",
                ["propertyNames"] = new JsonObject { ["pattern"] = "^[A-Za-z0-9_-]{1,64}$" },
                ["additionalProperties"] = Section(),
            };
        }

        return (JsonObject)map["additionalProperties"]!;
    }

    private static JsonObject Value(Setting setting)
    {
        JsonObject value = setting.Kind switch
        {
            SettingKind.Boolean => new() { ["type"] = "boolean" },
            SettingKind.Integer => new() { ["type"] = "integer", ["minimum"] = setting.Min, ["maximum"] = setting.Max },
            SettingKind.Size => new() { ["type"] = new JsonArray("integer", "string"), ["minimum"] = setting.Min, ["maximum"] = setting.Max, ["pattern"] = SizePattern },
            SettingKind.Duration => new() { ["type"] = "string", ["pattern"] = DurationPattern },
            SettingKind.Choice => new() { ["enum"] = new JsonArray([.. setting.Choices.Select(word => (JsonNode)word)]) },
            SettingKind.Mode => new() { ["type"] = "string", ["pattern"] = "^0?[0-7]{1,3}$" },
            SettingKind.AbsolutePath => new() { ["type"] = "string", ["pattern"] = "^/" },
            SettingKind.Text => new() { ["type"] = "string", ["minLength"] = 1 },
            SettingKind.TextList => List(new JsonObject { ["type"] = "string", ["minLength"] = 1 }),
            SettingKind.PathList => List(new JsonObject { ["type"] = "string", ["pattern"] = "^/" }),
            SettingKind.IdList => List(new JsonObject { ["type"] = "integer", ["minimum"] = 0, ["maximum"] = uint.MaxValue - 1L }),
            _ => throw new InvalidOperationException($"no schema for {setting.Kind}"),
        };
        value["description"] = setting.Description;
        if (Default(setting) is { } standard)
            value["default"] = standard;
        return value;
    }

    private static JsonObject List(JsonObject items) => new() { ["type"] = "array", ["items"] = items };

    private static JsonNode? Default(Setting setting) => setting.Kind switch
    {
        _ when setting.IsList => new JsonArray(),
        _ when setting.Default is null => null,
        SettingKind.Boolean => setting.Default == "true",
        SettingKind.Integer => SettingText.ParseInteger(setting.Default),
        SettingKind.Size when SettingText.ParseInteger(setting.Default) is { } bytes => bytes,
        _ => setting.Default,
    };
}
