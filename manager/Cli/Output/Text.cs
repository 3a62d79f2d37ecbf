using System.Globalization;
using System.Text;

namespace UffdManager.Cli.Output;

/// <summary>Text that others chose (names of processes, paths) made fit for a terminal.</summary>
internal static class Text
{
    /// <summary>
    /// Replaces what could move the cursor, change colours or break a line. A process gives itself its name, so a tenant could otherwise
    /// write on the operator's screen.
    /// </summary>
    public static string Clean(string? text)
    {
        if (string.IsNullOrEmpty(text))
            return "";
        if (!text.Any(IsUnsafe))
            return text;
        StringBuilder clean = new(text.Length);
        foreach (char c in text)
            clean.Append(IsUnsafe(c) ? '\uFFFD' : c);
        return clean.ToString();
    }

    /// <summary>Columns that a text takes on a terminal.</summary>
    public static int Width(string text)
    {
        int width = 0;
        foreach (Rune rune in text.EnumerateRunes())
            width += Width(rune);
        return width;
    }

    /// <summary>Cuts a text to a number of columns; what was cut shows as an ellipsis.</summary>
    public static string Fit(string text, int columns)
    {
        if (Width(text) <= columns)
            return text;
        StringBuilder cut = new();
        int width = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            width += Width(rune);
            if (width > columns - 1)
                break;
            cut.Append(rune);
        }

        return columns > 0 ? $"{cut}…" : "";
    }

    private static bool IsUnsafe(char c) => char.GetUnicodeCategory(c)
        is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;

    // Combining marks take none; the wide blocks of East Asia and the pictographs take two.
    private static int Width(Rune rune)
    {
        if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark)
            return 0;
        return rune.Value is (>= 0x1100 and <= 0x115F) or (>= 0x2E80 and <= 0xA4CF) or (>= 0xAC00 and <= 0xD7A3) or (>= 0xF900 and <= 0xFAFF)
            or (>= 0xFE30 and <= 0xFE6F) or (>= 0xFF00 and <= 0xFF60) or (>= 0xFFE0 and <= 0xFFE6) or (>= 0x1F300 and <= 0x1FAFF)
            or (>= 0x20000 and <= 0x3FFFD) ? 2 : 1;
    }
}
