using System.Buffers;
using System.Globalization;
using System.Text;

namespace UffdManager.Daemon.Telemetry.Exposition;

/// <summary>
/// Writes metric families as text in one of the two formats. Not thread-safe; used for one scrape at a time, its buffer is
/// kept from scrape to scrape. Sources: "Exposition formats" of the Prometheus documentation, and the OpenMetrics 1.0.0 specification.
/// </summary>
public sealed class ExpositionWriter
{
    private readonly ArrayBufferWriter<byte> _buffer = new(64 * 1024);
    private readonly Dictionary<double, string>[] _bounds = [[], []];
    private readonly StringBuilder _labels = new();

    /// <summary>The format being written.</summary>
    public ExpositionFormat Format { get; private set; }

    /// <summary>What has been written since <see cref="Begin"/>; valid until the next <see cref="Begin"/>.</summary>
    public ReadOnlyMemory<byte> Written => _buffer.WrittenMemory;

    /// <summary>Starts a new exposition and forgets the previous one.</summary>
    public void Begin(ExpositionFormat format)
    {
        Format = format;
        _buffer.ResetWrittenCount();
    }

    /// <summary>Ends the exposition: OpenMetrics requires the marker, by which a reader tells a complete answer from a cut one.</summary>
    public void End()
    {
        if (Format == ExpositionFormat.OpenMetrics)
        {
            Write("# EOF\n");
        }
    }

    /// <summary>Writes the metadata of a family.</summary>
    /// <param name="name">Prometheus name, with <c>_total</c> or <c>_info</c> where it applies.</param>
    /// <param name="kind">Type of the family.</param>
    /// <param name="unitSuffix">Unit as the last word of the name, or empty.</param>
    /// <param name="help">Description; empty = no HELP line.</param>
    public void Family(string name, FamilyKind kind, string unitSuffix, string help)
    {
        bool open = Format == ExpositionFormat.OpenMetrics;
        string family = open ? Stem(name, kind) : name;
        string type = kind switch
        {
            FamilyKind.Counter => "counter",
            FamilyKind.Histogram => "histogram",
            FamilyKind.Info when open => "info",
            _ => "gauge",
        };

        if (open)
        {
            Write($"# TYPE {family} {type}\n");
            if (unitSuffix.Length > 0)
            {
                Write($"# UNIT {family} {unitSuffix}\n");
            }
        }

        if (help.Length > 0)
        {
            Write($"# HELP {family} {MetricText.EscapeHelp(help, Format)}\n");
        }

        if (!open)
        {
            Write($"# TYPE {family} {type}\n");
        }
    }

    /// <summary>Writes one whole-number sample.</summary>
    public void Sample(string name, string labels, long value)
    {
        Series(name, labels);
        Span<byte> text = stackalloc byte[32];
        _ = value.TryFormat(text, out int length, provider: CultureInfo.InvariantCulture);
        EndSample(text[..length]);
    }

    /// <summary>Writes one floating-point sample.</summary>
    public void Sample(string name, string labels, double value)
    {
        Series(name, labels);
        if (!double.IsFinite(value))
        {
            EndSample(double.IsNaN(value) ? "NaN"u8 : value > 0 ? "+Inf"u8 : "-Inf"u8);
            return;
        }

        Span<byte> text = stackalloc byte[32];
        _ = value.TryFormat(text, out int length, "R", CultureInfo.InvariantCulture);
        int exponent = text[..length].IndexOf((byte)'E');
        if (exponent >= 0)
        {
            text[exponent] = (byte)'e';
        }

        EndSample(text[..length]);
    }

    /// <summary>Writes one bucket of a histogram; <paramref name="cumulative"/> counts everything up to and including the bound.</summary>
    public void Bucket(string bucketName, string labels, double bound, long cumulative)
    {
        var known = _bounds[(int)Format];
        if (!known.TryGetValue(bound, out string? text))
        {
            known[bound] = text = MetricText.Bound(bound, Format);
        }

        Sample(bucketName, labels.Length == 0 ? $"le=\"{text}\"" : $"{labels},le=\"{text}\"", cumulative);
    }

    /// <summary>Renders a tag set as label pairs without the braces, in the order given; empty values count as absent labels.</summary>
    public string Labels(IEnumerable<KeyValuePair<string, object?>> tags)
    {
        _labels.Clear();
        foreach (var (key, value) in tags)
        {
            string text = Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
            if (text.Length == 0)
            {
                continue;
            }

            _labels.Append(_labels.Length == 0 ? "" : ",").Append(MetricText.LabelName(key)).Append("=\"")
                .Append(MetricText.EscapeLabelValue(text)).Append('"');
        }

        return _labels.ToString();
    }

    /// <summary>OpenMetrics names the family without the suffix that its samples carry.</summary>
    private static string Stem(string name, FamilyKind kind) => kind switch
    {
        FamilyKind.Counter => name[..^"_total".Length],
        FamilyKind.Info => name[..^"_info".Length],
        _ => name,
    };

    private void Series(string name, string labels)
    {
        Write(name);
        if (labels.Length > 0)
        {
            Write("{");
            Write(labels);
            Write("}");
        }

        Write(" ");
    }

    private void EndSample(ReadOnlySpan<byte> value)
    {
        _buffer.Write(value);
        _buffer.Write("\n"u8);
    }

    private void Write(string text)
    {
        // A lone surrogate in a label becomes U+FFFD: the output is always valid UTF-8.
        int length = Encoding.UTF8.GetBytes(text, _buffer.GetSpan(Encoding.UTF8.GetMaxByteCount(text.Length)));
        _buffer.Advance(length);
    }
}
