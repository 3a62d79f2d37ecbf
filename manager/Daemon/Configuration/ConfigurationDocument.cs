using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace UffdManager.Daemon.Configuration;

/// <summary>Writes the merged configuration as one JSON document.</summary>
internal static class ConfigurationDocument
{
    /// <summary>Paths and URLs stay readable; nothing here ends up in HTML.</summary>
    public static JsonSerializerOptions Writing { get; } = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes a document that can be read again, or, with sources, one in which each value is {"value", "source"}.</summary>
    /// <param name="settings">The settings as they hold.</param>
    /// <param name="withSources">Whether to say where each comes from.</param>
    public static string Write(IReadOnlyList<EffectiveSetting> settings, bool withSources)
    {
        JsonObject document = [];
        foreach (EffectiveSetting setting in settings)
        {
            string[] parts = setting.Path.Split('.');
            JsonObject section = document;
            foreach (string part in parts[..^1])
            {
                if (section[part] is not JsonObject below)
                    section[part] = below = [];
                section = below;
            }

            // A key that is neither set nor has a default is left out: null in a file means the same.
            if (withSources)
                section[parts[^1]] = new JsonObject { ["value"] = setting.Value?.DeepClone(), ["source"] = setting.Origin };
            else if (setting.Value is not null)
                section[parts[^1]] = setting.Value.DeepClone();
        }

        return document.ToJsonString(Writing);
    }
}
