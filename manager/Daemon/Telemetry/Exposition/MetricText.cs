using System.Globalization;
using System.Text;

namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>The lexical rules of both formats: names, escapes, numbers.</summary>
public static class MetricText
{
    /// <summary>
    /// The Prometheus name of an instrument, after the OpenTelemetry rules for Prometheus: illegal characters become underscores,
    /// the unit is a suffix, counters end in <c>_total</c>. A name that already obeys is returned unchanged, so the instruments of
    /// this product are called in the code as they are called in a query.
    /// </summary>
    /// <param name="name">Instrument name.</param>
    /// <param name="unit">UCUM unit of the instrument: <c>s</c>, <c>By</c>, an annotation in braces, or empty.</param>
    /// <param name="isCounter">Whether the instrument only goes up.</param>
    public static string FamilyName(string name, string unit, bool isCounter)
    {
        var clean = new StringBuilder(name.Length + 16);
        foreach (char c in name)
        {
            clean.Append(char.IsAsciiLetterOrDigit(c) || c is '_' or ':' ? c : '_');
        }

        if (clean.Length == 0 || char.IsAsciiDigit(clean[0]))
        {
            clean.Insert(0, '_');
        }

        string stem = clean.ToString();
        if (isCounter && stem.EndsWith("_total", StringComparison.Ordinal))
        {
            stem = stem[..^"_total".Length];
        }

        string suffix = UnitSuffix(unit);
        if (suffix.Length > 0 && !stem.EndsWith("_" + suffix, StringComparison.Ordinal))
        {
            stem += "_" + suffix;
        }

        return isCounter ? stem + "_total" : stem;
    }

    /// <summary>The unit as a word in a name (<c>seconds</c>, <c>bytes</c>); empty for counts of things and pure numbers.</summary>
    public static string UnitSuffix(string? unit) => unit switch
    {
        "s" => "seconds",
        "By" => "bytes",
        _ => "",
    };

    /// <summary>A label name from a tag key: everything but letters, digits and underscores becomes an underscore.</summary>
    public static string LabelName(string key)
    {
        var clean = new StringBuilder(key.Length);
        foreach (char c in key)
        {
            clean.Append(char.IsAsciiLetterOrDigit(c) || c == '_' ? c : '_');
        }

        return clean.Length == 0 || char.IsAsciiDigit(clean[0]) ? "_" + clean : clean.ToString();
    }

    /// <summary>
    /// A bucket bound as the value of the <c>le</c> label. The bound is part of the identity of a series, so both
    /// formats get exactly the text that other exporters give them: Go's shortest %g in Prometheus text, the "canonical numbers" in
    /// OpenMetrics (the same, with <c>.0</c> behind whole numbers).
    /// </summary>
    public static string Bound(double bound, ExpositionFormat format)
    {
        if (double.IsPositiveInfinity(bound))
        {
            return "+Inf";
        }

        string text = ShortestG(bound);
        return format == ExpositionFormat.OpenMetrics && !text.Contains('e', StringComparison.Ordinal) && !text.Contains('.', StringComparison.Ordinal)
            ? text + ".0"
            : text;
    }

    /// <summary>Escapes the value of a label; both formats agree.</summary>
    public static string EscapeLabelValue(string value) => Escape(value, quote: true);

    /// <summary>Escapes a HELP text. Only OpenMetrics escapes the quotation mark here.</summary>
    public static string EscapeHelp(string value, ExpositionFormat format) => Escape(value, quote: format == ExpositionFormat.OpenMetrics);

    private static string Escape(string value, bool quote)
    {
        if (value.AsSpan().IndexOfAny('\\', '\n', '"') < 0)
        {
            return value;
        }

        var escaped = new StringBuilder(value.Length + 8);
        foreach (char c in value)
        {
            _ = c switch
            {
                '\\' => escaped.Append(@"\\"),
                '\n' => escaped.Append(@"\n"),
                '"' when quote => escaped.Append("\\\""),
                _ => escaped.Append(c),
            };
        }

        return escaped.ToString();
    }

    /// <summary>Shortest digits that read back the same; an exponent of at least two digits below 1e-4 and from 1e+06 on.</summary>
    private static string ShortestG(double value)
    {
        string scientific = value.ToString("E16", CultureInfo.InvariantCulture);
        for (int digits = 0; digits <= 16; digits++)
        {
            string candidate = value.ToString("E" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
            if (double.Parse(candidate, CultureInfo.InvariantCulture).Equals(value))
            {
                scientific = candidate;
                break;
            }
        }

        int mark = scientific.IndexOf('E', StringComparison.Ordinal);
        int exponent = int.Parse(scientific.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        if (value == 0 || exponent is >= -4 and < 6)
        {
            return ((decimal)value).ToString("0.####################", CultureInfo.InvariantCulture);
        }

        char sign = exponent < 0 ? '-' : '+';
        return string.Create(CultureInfo.InvariantCulture, $"{scientific[..mark]}e{sign}{Math.Abs(exponent):00}");
    }
}
