namespace UffdManager.Cli.Output;

/// <summary>One field of a table, or the value of a fact.</summary>
/// <param name="Text">Clean, and never empty: an empty field would shift the ones after it for a reader that goes by blanks.</param>
/// <param name="Style">How it shows where there are colours.</param>
internal readonly record struct Cell(string Text, Style Style = Style.None)
{
    public static implicit operator Cell(string? text) => new(string.IsNullOrWhiteSpace(text) ? "-" : Output.Text.Clean(text));

    public static implicit operator Cell(long number) => new(number.ToString(System.Globalization.CultureInfo.InvariantCulture));
}
