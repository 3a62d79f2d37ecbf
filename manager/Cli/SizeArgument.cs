using System.Globalization;

namespace UffdManager.Cli;

/// <summary>Sizes on the command line, written as in the configuration: 4096, 4KiB, 2MiB, and for short 4K, 2M, 1G.</summary>
internal static class SizeArgument
{
    private static readonly string[] s_units = ["", "K", "M", "G", "T"];

    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        string number = text.EndsWith("iB", StringComparison.Ordinal) ? text[..^2] : text;
        int step = number.Length == 0 ? 0 : Math.Max(0, Array.IndexOf(s_units, number[^1..]));
        bool isWord = number.Length != text.Length && step == 0;
        return !isWord
            && long.TryParse(step == 0 ? number : number[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            && value <= long.MaxValue >> (10 * step)
            && (bytes = value << (10 * step)) >= 0;
    }
}
