namespace UffdManager.Cli.Output;

/// <summary>
/// Numbers as people read them: three digits and a unit, in one word, so that awk finds its columns. Documents (--json) never use these.
/// </summary>
internal static class Units
{
    private static readonly string[] s_binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    private static readonly string[] s_decimal = ["", "k", "M", "G", "T", "P"];

    /// <summary>A size in binary units: 4KiB, 1.5GiB.</summary>
    /// <param name="bytes">Bytes; may be negative.</param>
    public static string Bytes(double bytes)
    {
        (double value, int step) = Scale(bytes, 1024, s_binary.Length - 1);
        return $"{Digits(value, step)}{s_binary[step]}";
    }

    /// <summary>A plain count with a decimal suffix above 9999: 9999, 12.3k.</summary>
    public static string Count(double count)
    {
        if (Math.Abs(count) < 9999.5)
            return $"{count:0}";
        (double value, int step) = Scale(count, 1000, s_decimal.Length - 1);
        return Digits(value, step) + s_decimal[step];
    }

    /// <summary>Events per second: 0, 0.3, 250, 12.3k.</summary>
    public static string Rate(double perSecond) =>
        perSecond is > 0 and < 9.95 ? $"{perSecond:0.0}" : Count(perSecond);

    /// <summary>A short time: 850ns, 12.3µs, 4.56ms, 1.2s.</summary>
    public static string Time(double nanoseconds) => Math.Abs(nanoseconds) switch
    {
        < 999.5 => $"{nanoseconds:0}ns",
        < 999.5e3 => $"{Digits(nanoseconds / 1e3, 1)}µs",
        < 999.5e6 => $"{Digits(nanoseconds / 1e6, 1)}ms",
        < 120e9 => $"{Digits(nanoseconds / 1e9, 1)}s",
        _ => Age(nanoseconds),
    };

    /// <summary>A long time by its two largest units: 45s, 3m20s, 5h12m, 12d3h.</summary>
    public static string Age(double nanoseconds)
    {
        TimeSpan age = TimeSpan.FromSeconds(Math.Max(0, nanoseconds) / 1e9);
        return age switch
        {
            { TotalMinutes: < 1 } => $"{age.Seconds}s",
            { TotalHours: < 1 } => $"{age.Minutes}m{age.Seconds}s",
            { TotalDays: < 1 } => $"{age.Hours}h{age.Minutes}m",
            _ => $"{(int)age.TotalDays}d{age.Hours}h",
        };
    }

    /// <summary>A part of a whole: 0%, 0.3%, 42%, 100%. Never rounds to a bound that is not reached.</summary>
    public static string Percent(double part, double whole)
    {
        if (whole <= 0 || part <= 0)
            return "0%";
        double percent = 100 * part / whole;
        return percent switch
        {
            < 0.1 => "<0.1%",
            < 9.95 => $"{percent:0.0}%",
            >= 100 => $"{percent:0}%",
            _ => $"{Math.Min(percent, 99):0}%",
        };
    }

    /// <summary>An address as /proc/PID/maps has it.</summary>
    public static string Address(ulong address) => $"0x{address:x}";

    private static (double Value, int Step) Scale(double value, double factor, int steps)
    {
        int step = 0;
        // 1023.7 KiB is 1 MiB in three digits, and must not come out as 1024KiB.
        while (Math.Abs(value) >= factor - 0.5 && step < steps)
        {
            value /= factor;
            step++;
        }

        return (value, step);
    }

    private static string Digits(double value, int step) => (step == 0 ? 100 : Math.Abs(value)) switch
    {
        >= 99.95 => $"{value:0}",
        >= 9.995 => $"{value:0.#}",
        _ => $"{value:0.##}",
    };
}
