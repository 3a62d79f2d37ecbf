namespace UffdManager.Daemon.Configuration;

/// <summary>
/// One key of the configuration: what the reader, `config show`, the JSON schema and the manual page all go by.
/// </summary>
/// <param name="Path">Dotted path; "*" stands for the name of a policy, tenant or snapshot.</param>
/// <param name="Kind">How its text is read.</param>
/// <param name="Default">Text that holds if the key is not set; null if the key may be left out and then means nothing, or is required.</param>
/// <param name="Description">One sentence, without the default.</param>
internal sealed record Setting(string Path, SettingKind Kind, string? Default, string Description)
{
    /// <summary>Least number: of units for <see cref="SettingKind.Integer"/>, bytes for sizes, ticks for durations.</summary>
    public long Min { get; init; }

    /// <summary>Greatest number, in the same unit as <see cref="Min"/>.</summary>
    public long Max { get; init; } = long.MaxValue;

    /// <summary>The words of a <see cref="SettingKind.Choice"/>.</summary>
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>Whether leaving it out is an error.</summary>
    public bool Required { get; init; }

    /// <summary>Whether the key holds a list.</summary>
    public bool IsList => Kind is SettingKind.TextList or SettingKind.PathList or SettingKind.IdList;

    /// <summary>What may be written, for error messages and the manual page.</summary>
    public string Allowed => Kind switch
    {
        SettingKind.Text => "text",
        SettingKind.AbsolutePath => "an absolute path",
        SettingKind.Integer => $"a whole number from {Min} to {Max}",
        SettingKind.Size => $"bytes from {SettingText.FormatSize(Min)} to {SettingText.FormatSize(Max)}, as a number or with B, KiB, MiB, GiB, TiB",
        SettingKind.Duration =>
            $"a time from {SettingText.FormatDuration(new TimeSpan(Min))} to {SettingText.FormatDuration(new TimeSpan(Max))}, with us, ms, s, m, h, or as hh:mm:ss",
        SettingKind.Boolean => "true or false",
        SettingKind.Choice when Choices.Count == 1 => Choices[0],
        SettingKind.Choice => string.Join(", ", Choices.SkipLast(1)) + " or " + Choices[^1],
        SettingKind.Mode => "octal permission bits from 0000 to 0777",
        SettingKind.TextList => "a list of texts",
        SettingKind.PathList => "a list of absolute paths",
        SettingKind.IdList => "a list of ids from 0 to 4294967294",
        _ => throw new InvalidOperationException($"no words for {Kind}"),
    };
}
