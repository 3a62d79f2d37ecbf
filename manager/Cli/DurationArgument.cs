using System.CommandLine.Parsing;
using System.Globalization;

namespace UffdManager.Cli;

/// <summary>Durations on the command line, written as in the configuration: 500ms, 2s, 1.5m, 1h. A number alone is seconds.</summary>
internal static class DurationArgument
{
    private static readonly (string Unit, double Seconds)[] s_units = [("ms", 0.001), ("us", 0.000001), ("s", 1), ("m", 60), ("h", 3600), ("", 1)];

    // What a timer takes.
    private static readonly double s_longest = TimeSpan.FromDays(24).TotalSeconds;

    public static TimeSpan Parse(ArgumentResult result)
    {
        string text = result.Tokens.Single().Value;
        if (TryParse(text, out TimeSpan duration))
            return duration;
        result.AddError($"'{text}' is not a duration above zero, like 500ms, 2s or 1m.");
        return default;
    }

    public static bool TryParse(string text, out TimeSpan duration)
    {
        foreach ((string unit, double seconds) in s_units)
        {
            if (!text.EndsWith(unit, StringComparison.Ordinal))
                continue;
            bool isNumber = double.TryParse(
                text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number);
            double total = number * seconds;
            duration = isNumber && total > 0 && total <= s_longest ? TimeSpan.FromSeconds(total) : default;
            return duration > TimeSpan.Zero;
        }

        duration = default;
        return false;
    }
}
