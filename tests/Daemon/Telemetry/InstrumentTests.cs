using System.Text.RegularExpressions;
using UffdManager.Daemon.Telemetry;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>The naming rules of Prometheus, applied to every declared instrument.</summary>
public partial class InstrumentTests
{
    /// <summary>Labels that mean something to Prometheus, and those that would have a value for every client.</summary>
    private static readonly string[] Forbidden = ["le", "quantile", "job", "instance", "pid", "fd", "address", "session"];

    public static TheoryData<string> Names => [.. Instruments.All.Select(d => d.Name)];

    [Fact]
    public void Every_declared_instrument_is_in_the_list()
    {
        var declared = typeof(Instruments).GetFields().Where(f => f.FieldType == typeof(InstrumentDefinition)).Select(f => (InstrumentDefinition)f.GetValue(null)!);
        Assert.Equal(declared.Select(d => d.Name), Instruments.All.Select(d => d.Name));
        Assert.Distinct(Instruments.All.Select(d => d.Name));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Name_follows_the_conventions(string name)
    {
        var definition = Instruments.All.Single(d => d.Name == name);
        Assert.Matches(LegalName(), name);
        Assert.Equal(definition.Kind == InstrumentKind.Counter, name.EndsWith("_total", StringComparison.Ordinal));
        Assert.Equal(definition.Kind == InstrumentKind.Info, name.EndsWith("_info", StringComparison.Ordinal));
        Assert.DoesNotMatch(ReservedSuffix(), name);
        Assert.DoesNotMatch(NotABaseUnit(), name);

        string stem = name.EndsWith("_total", StringComparison.Ordinal) ? name[..^"_total".Length] : name;
        Assert.Equal(definition.Unit == "s", stem.EndsWith("_seconds", StringComparison.Ordinal));
        Assert.Equal(definition.Unit == "By", stem.EndsWith("_bytes", StringComparison.Ordinal));
        Assert.Matches(LegalUnit(), definition.Unit);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Description_is_one_plain_sentence(string name)
    {
        string text = Instruments.All.Single(d => d.Name == name).Description;
        Assert.InRange(text.Length, 10, 160);
        Assert.EndsWith(".", text, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', text);
        Assert.DoesNotContain('|', text);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Labels_are_legal_and_bounded(string name)
    {
        var definition = Instruments.All.Single(d => d.Name == name);
        Assert.Distinct(definition.Labels.Select(l => l.Name));
        Assert.All(definition.Labels, label =>
        {
            Assert.Matches(LegalLabel(), label.Name);
            Assert.DoesNotContain(label.Name, Forbidden);
            Assert.All(label.Values ?? [], value => Assert.Matches(LegalValue(), value));
            Assert.InRange(label.Limit, 1, Instruments.MaxTenants + 1);
        });
        Assert.InRange(definition.Cardinality, 1, 10_000);
    }

    [Fact]
    public void Histograms_have_ascending_buckets_and_faults_reach_from_a_microsecond_to_ten_seconds()
    {
        foreach (var histogram in Instruments.All.Where(d => d.Kind == InstrumentKind.Histogram))
        {
            Assert.NotEmpty(histogram.Buckets);
            Assert.Equal(histogram.Buckets.Order().Distinct(), histogram.Buckets);
        }

        Assert.Equal(1e-6, Instruments.FaultDuration.Buckets[0]);
        Assert.Equal(10, Instruments.FaultDuration.Buckets[^1]);
        Assert.All(Instruments.All.Where(d => d.Kind != InstrumentKind.Histogram), d => Assert.Empty(d.Buckets));
    }

    [Theory]
    [InlineData("WriteProtect", "write_protect")]
    [InlineData("Missing", "missing")]
    [InlineData("InFlightLimit", "in_flight_limit")]
    public void Label_values_are_snake_case(string member, string value) => Assert.Equal(value, SnakeCase.From(member));

    [Fact]
    public void Enumeration_with_gaps_is_refused_as_a_label_set() =>
        Assert.Throws<InvalidOperationException>(() => SnakeCase.NamesOf<Gaps>());

    [GeneratedRegex("^uffd_manager(_[a-z][a-z0-9]*)+$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex LegalName();

    [GeneratedRegex("_(count|sum|bucket|created|gauge|counter|histogram|summary|gsum|gcount)$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ReservedSuffix();

    [GeneratedRegex("_(ms|us|ns|s|sec|secs|second|millis|milliseconds|microseconds|nanoseconds|minutes|kb|kib|mb|mib|gb|kilobytes|megabytes|percent)(_|$)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex NotABaseUnit();

    [GeneratedRegex(@"^(s|By|\{[a-z]+\}|)$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex LegalUnit();

    [GeneratedRegex("^[a-z][a-z_]*$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex LegalLabel();

    [GeneratedRegex("^[a-z0-9][a-z0-9_]*$", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex LegalValue();

    private enum Gaps
    {
        One = 1,
        Three = 3,
    }
}
