using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>The tables of docs/CONTROL-API.md, and whether a document is as they say.</summary>
public sealed partial class ControlApiDocument
{
    private readonly Dictionary<string, IReadOnlyDictionary<string, string>> _types = new(StringComparer.Ordinal);
    private readonly List<string> _resources = [];
    private readonly Dictionary<string, int> _problems = new(StringComparer.Ordinal);

    private ControlApiDocument(IEnumerable<string> lines)
    {
        string? type = null;
        Dictionary<string, string>? fields = null;
        foreach (string line in lines)
        {
            if (line.StartsWith('#'))
                (type, fields) = (TypeHeading().Match(line) is { Success: true } heading ? heading.Groups["name"].Value : null, null);
            if (ResourceHeading().Match(line) is { Success: true } resource)
                _resources.Add(resource.Groups["resource"].Value);
            if (ProblemRow().Match(line) is { Success: true } problem)
                _problems.Add(problem.Groups["name"].Value, int.Parse(problem.Groups["status"].Value));
            if (type is not null && line.StartsWith("| field |", StringComparison.Ordinal))
                _types.Add(type, fields = new(StringComparer.Ordinal));
            else if (fields is not null && FieldRow().Match(line) is { Success: true } field)
                fields.Add(field.Groups["name"].Value, field.Groups["type"].Value);
        }
    }

    /// <summary>Fields of each type, with the name of their type.</summary>
    public IReadOnlyDictionary<string, IReadOnlyDictionary<string, string>> Types => _types;

    /// <summary>"GET /v1/status" and so on, as the headings have them.</summary>
    public IReadOnlyList<string> Resources => _resources;

    /// <summary>Status of each type of problem.</summary>
    public IReadOnlyDictionary<string, int> Problems => _problems;

    /// <summary>Reads the document of the repository.</summary>
    public static ControlApiDocument Read() => new(File.ReadLines(Path.Combine(NativeProgram.RepositoryRoot, "docs", "CONTROL-API.md")));

    /// <summary>Fails unless a value has exactly the fields of a type, each of the type that the table says.</summary>
    /// <param name="type">Name of the type; with [] a list of it.</param>
    /// <param name="value">The value.</param>
    /// <param name="path">Where it was found, for the message.</param>
    public void Check(string type, JsonElement value, string path = "$")
    {
        if (type.EndsWith('?'))
        {
            if (value.ValueKind != JsonValueKind.Null)
                Check(type[..^1], value, path);
        }
        else if (type.EndsWith("[]", StringComparison.Ordinal))
        {
            Assert.True(value.ValueKind == JsonValueKind.Array, $"{path} is no list");
            int index = 0;
            foreach (JsonElement item in value.EnumerateArray())
                Check(type[..^2], item, $"{path}[{index++}]");
        }
        else if (type.StartsWith("map<", StringComparison.Ordinal))
        {
            Assert.True(value.ValueKind == JsonValueKind.Object, $"{path} is no object");
            foreach (JsonProperty entry in value.EnumerateObject())
                Check(type[4..^1], entry.Value, $"{path}.{entry.Name}");
        }
        else if (_types.TryGetValue(type, out IReadOnlyDictionary<string, string>? fields))
        {
            Assert.True(value.ValueKind == JsonValueKind.Object, $"{path} is no object");
            Assert.Equal(fields.Keys, value.EnumerateObject().Select(property => property.Name));
            foreach ((string name, string of) in fields)
                Check(of, value.GetProperty(name), $"{path}.{name}");
        }
        else
        {
            Assert.True(IsScalar(type, value), $"{path} is {value.GetRawText()} and no {type}");
        }
    }

    private static bool IsScalar(string type, JsonElement value) => type switch
    {
        "string" => value.ValueKind == JsonValueKind.String,
        "bool" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "int" => value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _),
        "number" => value.ValueKind == JsonValueKind.Number,
        "object" => value.ValueKind == JsonValueKind.Object,
        _ => throw new InvalidOperationException($"docs/CONTROL-API.md has no type {type}"),
    };

    [GeneratedRegex(@"^### (?<name>[A-Z][a-z]\w*)$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex TypeHeading();

    [GeneratedRegex(@"^### (?<resource>(GET|POST|PUT|DELETE) /v1\S*)$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ResourceHeading();

    [GeneratedRegex(@"^\| `(?<name>\w+)` \| (?<type>[^|]+?) \|", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex FieldRow();

    [GeneratedRegex(@"^\| `(?<name>[a-z_]+)` \| (?<status>[45]\d\d) \|", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex ProblemRow();
}
