using System.Text.Json;
using Microsoft.Extensions.Configuration;

namespace UffdManager.Daemon.Configuration;

/// <summary>
/// Several JSON documents as one provider: objects are merged key by key, lists and values of a later document replace those of an
/// earlier one, null puts a key back to its default.
/// </summary>
/// <remarks>
/// The framework's own JSON provider merges lists item by item: a drop-in with one uid would then leave the rest of an earlier list
/// standing, which nobody expects of a list of who may come in. An object without keys is stored with the value null and an empty list with
/// the empty text, so that a tenant without settings of its own exists, and an emptied list is not its default.
/// </remarks>
internal sealed class JsonLayersProvider(IReadOnlyList<JsonLayer> layers) : ConfigurationProvider, IConfigurationSource
{
    private static readonly JsonDocumentOptions s_reading = new()
    {
        AllowDuplicateProperties = false,
        AllowTrailingCommas = true,
        CommentHandling = JsonCommentHandling.Skip,
    };

    private readonly Dictionary<string, string> _origins = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<ConfigurationError> _errors = [];

    /// <summary>Documents that could not be read. Complete after <see cref="Load"/>.</summary>
    public IReadOnlyList<ConfigurationError> Errors => _errors;

    /// <summary>Name of the document that a key's value comes from.</summary>
    public string? Origin(string key) => _origins.GetValueOrDefault(key);

    public IConfigurationProvider Build(IConfigurationBuilder builder) => this;

    public override void Load()
    {
        foreach (JsonLayer layer in layers)
        {
            try
            {
                using var document = JsonDocument.Parse(layer.Text, s_reading);
                if (document.RootElement.ValueKind == JsonValueKind.Object)
                    MergeObject("", document.RootElement, layer.Name);
                else
                    _errors.Add(new ConfigurationError(layer.Name, "must be a JSON object", Origin: null));
            }
            catch (JsonException e)
            {
                string place = e.LineNumber is { } line ? $" (line {line + 1}, byte {e.BytePositionInLine + 1})" : "";
                _errors.Add(new ConfigurationError(layer.Name, $"is not valid JSON{place}: {FirstSentence(e.Message)}", Origin: null));
            }
        }
    }

    private void MergeObject(string path, JsonElement element, string origin)
    {
        if (path.Length > 0)
        {
            Data.TryAdd(path, null);
            if (Data[path] is not null)
                Set(path, value: null, origin);
        }

        foreach (JsonProperty property in element.EnumerateObject())
        {
            if (property.Name.Contains(':', StringComparison.Ordinal))
                _errors.Add(new ConfigurationError(origin, $"key \"{property.Name}\" must not contain ':'", Origin: null));
            else
                Merge(path.Length == 0 ? property.Name : $"{path}:{property.Name}", property.Value, origin);
        }
    }

    private void Merge(string path, JsonElement element, string origin)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                MergeObject(path, element, origin);
                break;

            case JsonValueKind.Null:
                Remove(path);
                break;

            case JsonValueKind.Array:
                Remove(path);
                if (element.GetArrayLength() == 0)
                    Set(path, "", origin);
                int index = 0;
                foreach (JsonElement item in element.EnumerateArray())
                    Merge($"{path}:{index++}", item, origin);
                break;

            case JsonValueKind.String:
                Remove(path);
                Set(path, element.GetString(), origin);
                break;

            default:
                Remove(path);
                Set(path, element.GetRawText(), origin);
                break;
        }
    }

    private void Set(string path, string? value, string origin)
    {
        Data[path] = value;
        _origins[path] = origin;
    }

    private void Remove(string path)
    {
        string below = path + ":";
        foreach (string key in Data.Keys.Where(key =>
                     key.Equals(path, StringComparison.OrdinalIgnoreCase) || key.StartsWith(below, StringComparison.OrdinalIgnoreCase)).ToList())
        {
            Data.Remove(key);
            _origins.Remove(key);
        }
    }

    // The rest of the text repeats path and position.
    private static string FirstSentence(string message)
    {
        int end = message.IndexOf(". ", StringComparison.Ordinal);
        return end < 0 ? message : message[..end];
    }
}
