namespace UffdManager.Cli.Output;

/// <summary>How a <see cref="Style"/> shows: by escape sequences of ECMA-48, or not at all.</summary>
internal sealed class Palette
{
    private readonly bool _colors;

    private Palette(bool colors) => _colors = colors;

    /// <summary>No colours: pipes, --no-color, NO_COLOR, dumb terminals.</summary>
    public static Palette Plain { get; } = new(colors: false);

    /// <summary>The eight colours that every terminal with colours has, so that the user's own theme applies.</summary>
    public static Palette Colors { get; } = new(colors: true);

    public string Paint(Style style, string text)
    {
        if (!_colors || text.Length == 0)
            return text;
        string? code = style switch
        {
            Style.Header => "1",
            Style.Good => "32",
            Style.Warning => "33",
            Style.Bad => "31",
            Style.Faint => "2",
            Style.Selected => "7",
            _ => null,
        };
        return code is null ? text : $"\e[{code}m{text}\e[0m";
    }
}
