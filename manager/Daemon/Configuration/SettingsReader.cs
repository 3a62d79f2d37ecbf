using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Configuration;

namespace UffdManager.Daemon.Configuration;

/// <summary>
/// Reads settings by path from the merged configuration. A value that is missing or wrong is reported and replaced by its default, so that
/// reading goes on and all errors are found in one go. Keeps what it read for `config show`.
/// </summary>
internal sealed class SettingsReader(IConfigurationRoot root, Func<string, string?> origin)
{
    /// <summary>Origin of values that nobody set.</summary>
    public const string DefaultOrigin = "default";

    private readonly List<ConfigurationError> _errors = [];
    private readonly List<EffectiveSetting> _effective = [];

    public IReadOnlyList<ConfigurationError> Errors => _errors;

    public IReadOnlyList<EffectiveSetting> Effective => _effective;

    /// <summary>Names of the policies, tenants or snapshots, in alphabetical order.</summary>
    public IReadOnlyList<string> Names(string section) =>
        [.. root.GetSection(section).GetChildren().Select(child => child.Key).Order(StringComparer.OrdinalIgnoreCase)];

    /// <summary>Reports an error about a key, with the value's origin.</summary>
    public void Fail(string path, string problem) => _errors.Add(new ConfigurationError(path, problem, OriginOf(path)));

    /// <summary>Whether a value is set at a path, rather than left to its default.</summary>
    public bool IsSet(string path) => root[Key(path)] is not null || root.GetSection(Key(path)).GetChildren().Any();

    public string Text(string path) => (string?)Read(path) ?? "";

    /// <summary>Reads a text for the sake of another key: not noted as read, and not complained about.</summary>
    public string Peek(string path)
    {
        Setting setting = Settings.Find(path) ?? throw new InvalidOperationException($"no setting {path}");
        return root[Key(path)] is { } text && Parse(setting, text, out _) is string value ? value : setting.Default ?? "";
    }

    public string? OptionalText(string path) => (string?)Read(path);

    public int Integer(string path) => (int)(long)Read(path)!;

    public long Long(string path) => (long)Read(path)!;

    public TimeSpan Duration(string path) => (TimeSpan)Read(path)!;

    public bool Boolean(string path) => (bool)Read(path)!;

    public uint Mode(string path) => (uint)Read(path)!;

    /// <summary>Reads a choice as the enum whose members are named like its words, apart from case.</summary>
    public T Choice<T>(string path)
        where T : struct, Enum => Enum.Parse<T>(Text(path), ignoreCase: true);

    public IReadOnlyList<string> TextList(string path) => ReadList(path).Select(item => (string)item).ToList();

    public IReadOnlyList<uint> IdList(string path) => ReadList(path).Select(item => (uint)item).ToList();

    private static string Key(string path) => path.Replace('.', ':');

    private object? Read(string path)
    {
        Setting setting = Settings.Find(path) ?? throw new InvalidOperationException($"no setting {path}");
        string? text = root[Key(path)];
        if (text is not null)
        {
            object? value = Parse(setting, text, out string? problem);
            if (problem is null)
                return Note(path, value, OriginOf(path)!);
            Fail(path, $"\"{text}\" is not allowed; {problem}");
        }
        else if (setting.Required)
        {
            _errors.Add(new ConfigurationError(path, $"is required: {setting.Allowed}", Origin: null));
        }

        return Note(path, setting.Default is null ? null : Parse(setting, setting.Default, out _), DefaultOrigin);
    }

    private List<object> ReadList(string path)
    {
        Setting setting = Settings.Find(path) ?? throw new InvalidOperationException($"no setting {path}");
        // One text holds a whole list, comma separated: the only way that suits an environment variable.
        string? text = root[Key(path)];
        List<string> items = text is not null
            ? [.. text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)]
            : [.. root.GetSection(Key(path)).GetChildren()
                .OrderBy(item => SettingText.ParseInteger(item.Key) ?? long.MaxValue).Select(item => item.Value ?? "")];

        List<object> values = [];
        foreach (string item in items)
        {
            object? value = Parse(setting, item, out string? problem);
            if (problem is null)
                values.Add(value!);
            else
                Fail(path, $"\"{item}\" is not allowed; {problem}");
        }

        string from = OriginOf(path) ?? OriginOf(path + ".0") ?? DefaultOrigin;
        _effective.Add(new EffectiveSetting(path, new JsonArray([.. values.Select(value => (JsonNode)Node(value)!)]), from));
        return values;
    }

    private object? Note(string path, object? value, string from)
    {
        Setting setting = Settings.Find(path)!;
        JsonNode? node = setting.Kind switch
        {
            _ when value is null => null,
            SettingKind.Size => (long)value == 0 || (long)value % 1024 != 0 ? (long)value : SettingText.FormatSize((long)value),
            SettingKind.Mode => SettingText.FormatMode((uint)value),
            _ => Node(value),
        };
        _effective.Add(new EffectiveSetting(path, node, from));
        return value ?? (setting.Kind is SettingKind.Text or SettingKind.AbsolutePath or SettingKind.Choice ? null : 0L);
    }

    private static JsonNode? Node(object value) => value switch
    {
        string text => text,
        bool flag => flag,
        long number => number,
        uint id => id,
        TimeSpan time => SettingText.FormatDuration(time),
        _ => throw new InvalidOperationException($"no JSON for {value.GetType()}"),
    };

    private string? OriginOf(string path) => root[Key(path)] is null ? null : origin(Key(path));

    private static object? Parse(Setting setting, string text, out string? problem)
    {
        object? value = setting.Kind switch
        {
            SettingKind.Text or SettingKind.TextList => text.Length > 0 ? text : null,
            SettingKind.AbsolutePath or SettingKind.PathList => text.StartsWith('/') && !text.Contains('\0', StringComparison.Ordinal) ? text : null,
            SettingKind.Integer => SettingText.ParseInteger(text) is { } number && number >= setting.Min && number <= setting.Max ? number : null,
            SettingKind.Size => SettingText.ParseSize(text) is { } bytes && bytes >= setting.Min && bytes <= setting.Max ? bytes : null,
            SettingKind.Duration => SettingText.ParseDuration(text) is { } time && time.Ticks >= setting.Min && time.Ticks <= setting.Max ? time : null,
            SettingKind.Boolean => SettingText.ParseBoolean(text),
            SettingKind.Mode => SettingText.ParseMode(text),
            SettingKind.IdList => SettingText.ParseId(text),
            SettingKind.Choice => setting.Choices.FirstOrDefault(word => word.Equals(text, StringComparison.OrdinalIgnoreCase)),
            _ => throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"no parser for {setting.Kind}")),
        };
        problem = value is null ? $"allowed is {setting.Allowed}" : null;
        return value;
    }
}
