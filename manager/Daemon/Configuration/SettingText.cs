using System.Globalization;

namespace UffdManager.Daemon.Configuration;

/// <summary>Reads and writes the texts of settings. A text that cannot be read is null; ranges are judged by the caller.</summary>
internal static class SettingText
{
    private static readonly (string Suffix, long Bytes)[] s_sizes =
        [("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10), ("B", 1)];

    private static readonly (string Suffix, long Ticks)[] s_durations =
    [
        ("us", TimeSpan.TicksPerMicrosecond), ("ms", TimeSpan.TicksPerMillisecond), ("s", TimeSpan.TicksPerSecond),
        ("m", TimeSpan.TicksPerMinute), ("h", TimeSpan.TicksPerHour),
    ];

    public static long? ParseInteger(string text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) ? value : null;

    public static long? ParseSize(string text) => ParseWithUnit(text, s_sizes, unitless: 1);

    public static TimeSpan? ParseDuration(string text)
    {
        if (text.Contains(':', StringComparison.Ordinal))
            return TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out TimeSpan clock) && clock >= TimeSpan.Zero ? clock : null;

        // A bare number would leave its unit to guessing; only zero needs none.
        if (string.Equals(text, "0", StringComparison.Ordinal))
            return TimeSpan.Zero;

        return ParseWithUnit(text, s_durations, unitless: 0) is { } ticks ? new TimeSpan(ticks) : null;
    }

    public static bool? ParseBoolean(string text) => bool.TryParse(text, out bool value) ? value : null;

    public static uint? ParseMode(string text)
    {
        if (text.Length is 0 or > 4)
            return null;

        uint mode = 0;
        foreach (char digit in text)
        {
            if (digit is < '0' or > '7')
                return null;
            mode = (mode << 3) | (uint)(digit - '0');
        }

        return mode <= 0x1FF ? mode : null;
    }

    // 4294967295 is (uid_t)-1, which no process can have.
    public static uint? ParseId(string text) => ParseInteger(text) is { } id and >= 0 and < uint.MaxValue ? (uint)id : null;

    public static string FormatSize(long bytes)
    {
        if (bytes == 0)
            return "0";
        (string suffix, long unit) = Array.Find(s_sizes, size => bytes % size.Bytes == 0);
        return unit == 1 ? bytes.ToString(CultureInfo.InvariantCulture) : $"{bytes / unit}{suffix}";
    }

    public static string FormatDuration(TimeSpan time)
    {
        if (time == TimeSpan.Zero)
            return "0s";
        (string suffix, long unit) = Array.FindLast(s_durations, duration => time.Ticks % duration.Ticks == 0);
        return unit == 0 ? time.ToString("c", CultureInfo.InvariantCulture) : $"{time.Ticks / unit}{suffix}";
    }

    public static string FormatMode(uint mode) => Convert.ToString(mode, 8).PadLeft(4, '0');

    private static long? ParseWithUnit(string text, (string Suffix, long Value)[] units, long unitless)
    {
        int digits = 0;
        while (digits < text.Length && char.IsAsciiDigit(text[digits]))
            digits++;

        if (digits == 0 || ParseInteger(text[..digits]) is not { } number)
            return null;

        string suffix = text[digits..].Trim();
        long unit = suffix.Length == 0
            ? unitless
            : Array.Find(units, candidate => string.Equals(candidate.Suffix, suffix, StringComparison.Ordinal)).Value;
        if (unit == 0 || number > long.MaxValue / unit)
            return null;

        return number * unit;
    }
}
