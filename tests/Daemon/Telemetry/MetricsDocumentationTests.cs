using System.Text.RegularExpressions;
using UffdManager.Daemon.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>docs/METRICS.md and the code say the same, neither more nor less.</summary>
public partial class MetricsDocumentationTests
{
    private static readonly string[] Lines = File.ReadAllLines(Path.Combine(NativeProgram.RepositoryRoot, "docs", "METRICS.md"));

    [Fact]
    public void Tables_list_every_metric_with_type_unit_labels_and_meaning()
    {
        var documented = Lines.Select(l => MetricRow().Match(l)).Where(m => m.Success)
            .Select(m => string.Join(" | ", m.Groups.Values.Skip(1).Select(g => g.Value.Trim()))).ToList();
        var declared = Instruments.All.Select(d => string.Join(
            " | ",
            d.Name,
            d.Kind.ToString().ToLowerInvariant(),
            d.Unit switch { "s" => "seconds", "By" => "bytes", "" => "—", _ => d.Unit.Trim('{', '}') },
            d.Labels.Length == 0 ? "—" : string.Join(", ", d.Labels.Select(l => $"`{l.Name}`")),
            d.Description)).ToList();

        Assert.Equal(declared, documented);
    }

    [Fact]
    public void Tables_list_the_values_of_every_closed_label()
    {
        var documented = Lines.Select(l => ValueRow().Match(l)).Where(m => m.Success)
            .Select(m => $"{m.Groups[1].Value} {m.Groups[2].Value}: {m.Groups[3].Value}").ToList();
        var declared = Instruments.All.SelectMany(d => d.Labels.Where(l => l.Values is not null)
            .Select(l => $"{d.Name} {l.Name}: {string.Join(", ", l.Values!.Select(v => $"`{v}`"))}")).ToList();

        Assert.Equal(declared, documented);
    }

    [Fact]
    public void Text_and_queries_mention_no_metric_that_the_code_lacks()
    {
        var known = Instruments.All.SelectMany(d => d.Kind == InstrumentKind.Histogram
            ? [d.Name, d.Name + "_bucket", d.Name + "_sum", d.Name + "_count"]
            : new[] { d.Name }).ToHashSet();

        Assert.All(Lines.SelectMany(l => Mention().Matches(l)).Select(m => m.Value), name => Assert.Contains(name, known));
    }

    [GeneratedRegex(@"^\| `(?<name>uffd_manager_\w+)` \| (?<type>\w+) \| (?<unit>[^|]+) \| (?<labels>[^|]+) \| (?<meaning>.+) \|$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex MetricRow();

    [GeneratedRegex(@"^\| `(?<name>uffd_manager_\w+)` \| `(?<label>\w+)` \| (?<values>[^|]+) \|$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ValueRow();

    [GeneratedRegex(@"\buffd_manager_\w+", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Mention();
}
