using System.Globalization;
using System.Text;
using System.Text.Json;

namespace UffdManager.Benchmarks;

/// <summary>All rows, as JSON for programs and as a table for people.</summary>
internal sealed class Report(Machine machine, BenchOptions options)
{
    private const string BeginMarker = "<!-- result: written by the benchmark program -->";
    private const string EndMarker = "<!-- end of result -->";
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    private readonly List<Row> _rows = [];
    private readonly string _loadAtStart = LoadAverage();

    public bool HasFailures => _rows.Exists(row => row.Error is not null);

    public void Add(Row row) => _rows.Add(row);

    public static string Line(Row row) => row.Error is { } error
        ? $"   {row.Name}: FAILED: {error}"
        : $"   {row.Name}: manager {Number(row.Manager)} {row.Unit}, reference {Number(row.Reference)} {row.Unit}, ratio {Ratio(row)}";

    public string ToMarkdown()
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{machine}.");
        text.AppendLine();
        text.Append(CultureInfo.InvariantCulture, $"Medians of {options.Rounds} rounds");
        text.AppendLine(options.SelfCheck
            ? "; SELF-CHECK: the column \"manager\" is a second reference handler."
            : options.Quick ? "; quick run: indicative only." : ".");
        text.Append(CultureInfo.InvariantCulture, $"Load average of the machine: {_loadAtStart} at the start, {LoadAverage()} at the end");
        text.AppendLine(options.Nice is { } nice ? $"; handlers and clients ran at nice {nice}." : ".");
        text.AppendLine();
        text.AppendLine("| measurement | unit | manager | reference | ratio | wanted | runs |");
        text.AppendLine("|---|---|---:|---:|---:|---|---:|");
        foreach (Row row in _rows)
        {
            text.AppendLine(row.Error is { } error
                ? $"| {row.Name} | {row.Unit} | failed: {error.Replace("|", "/", StringComparison.Ordinal)} | | | {row.Target} | {row.Runs} |"
                : $"| {row.Name} | {row.Unit} | {Number(row.Manager)} | {Number(row.Reference)} | {Ratio(row)} | {Verdict(row)} | {row.Runs} |");
        }

        return text.ToString();
    }

    /// <summary>Writes FILE.json and FILE.md.</summary>
    public void Write(string file)
    {
        File.WriteAllText(file, JsonSerializer.Serialize(_rows, s_json) + "\n");
        File.WriteAllText(Path.ChangeExtension(file, ".md"), ToMarkdown());
    }

    /// <summary>Replaces what stands between the two markers of a document by the table.</summary>
    /// <exception cref="IOException">The document has no markers.</exception>
    public void Publish(string document)
    {
        string text = File.ReadAllText(document);
        int begin = text.IndexOf(BeginMarker, StringComparison.Ordinal);
        int end = text.IndexOf(EndMarker, StringComparison.Ordinal);
        if (begin < 0 || end < begin)
            throw new IOException($"{document} has no place for the table: {BeginMarker} ... {EndMarker}");
        File.WriteAllText(document, $"{text[..(begin + BeginMarker.Length)]}\n{ToMarkdown()}{text[end..]}");
    }

    private static string LoadAverage() => File.ReadAllText("/proc/loadavg").Split(' ')[0];

    private static string Verdict(Row row) =>
        row.Target is not { } target ? ""
        : (target.IsAbsolute ? row.Manager : row.Ratio) is { } value ? $"{target} {(target.IsReached(value) ? "reached" : "missed")}" : $"{target}";

    private static string Ratio(Row row) => row.Ratio is { } ratio ? ratio.ToString("0.00", CultureInfo.InvariantCulture) : "–";

    private static string Number(double? value) => value switch
    {
        null => "–",
        >= 1000 => value.Value.ToString("#,0", CultureInfo.InvariantCulture),
        >= 10 => value.Value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.Value.ToString("0.000", CultureInfo.InvariantCulture),
    };
}
