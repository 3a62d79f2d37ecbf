using UffdManager.Daemon.Telemetry.Exposition;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

public class MetricTextTests
{
    [Theory]
    // Names that obey stay as they are.
    [InlineData("uffd_manager_faults_total", "{fault}", true, "uffd_manager_faults_total")]
    [InlineData("uffd_manager_fault_duration_seconds", "s", false, "uffd_manager_fault_duration_seconds")]
    [InlineData("uffd_manager_copied_bytes_total", "By", true, "uffd_manager_copied_bytes_total")]
    [InlineData("uffd_manager_build_info", "", false, "uffd_manager_build_info")]
    // Names of other meters get the suffixes that Prometheus expects.
    [InlineData("dotnet.gc.pause.time", "s", true, "dotnet_gc_pause_time_seconds_total")]
    [InlineData("http.server.active_requests", "{request}", false, "http_server_active_requests")]
    [InlineData("working.set", "By", false, "working_set_bytes")]
    [InlineData("2nd/try", "", false, "_2nd_try")]
    public void Family_name_follows_the_unit_and_the_type(string name, string unit, bool counter, string expected) =>
        Assert.Equal(expected, MetricText.FamilyName(name, unit, counter));

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("a\\b", @"a\\b")]
    [InlineData("a\nb", @"a\nb")]
    [InlineData("a\"b", "a\\\"b")]
    [InlineData("\\\n\"", "\\\\\\n\\\"")]
    [InlineData("späße ✓ {x=1,y}", "späße ✓ {x=1,y}")]
    public void Label_values_are_escaped(string value, string expected) => Assert.Equal(expected, MetricText.EscapeLabelValue(value));

    [Fact]
    public void Help_escapes_the_quotation_mark_in_OpenMetrics_only()
    {
        Assert.Equal("a \"b\" \\\\ \\n", MetricText.EscapeHelp("a \"b\" \\ \n", ExpositionFormat.PrometheusText));
        Assert.Equal("a \\\"b\\\" \\\\ \\n", MetricText.EscapeHelp("a \"b\" \\ \n", ExpositionFormat.OpenMetrics));
    }

    [Theory]
    [InlineData("tenant", "tenant")]
    [InlineData("otel.metric.overflow", "otel_metric_overflow")]
    [InlineData("9lives", "_9lives")]
    [InlineData("", "_")]
    public void Label_names_are_made_legal(string key, string expected) => Assert.Equal(expected, MetricText.LabelName(key));

    [Theory]
    [InlineData(0, "0", "0.0")]
    [InlineData(1e-10, "1e-10", "1e-10")]
    [InlineData(1e-6, "1e-06", "1e-06")]
    [InlineData(2.5e-5, "2.5e-05", "2.5e-05")]
    [InlineData(0.0001, "0.0001", "0.0001")]
    [InlineData(0.0005, "0.0005", "0.0005")]
    [InlineData(0.1, "0.1", "0.1")]
    [InlineData(0.999, "0.999", "0.999")]
    [InlineData(1, "1", "1.0")]
    [InlineData(1.7, "1.7", "1.7")]
    [InlineData(10, "10", "10.0")]
    [InlineData(100000, "100000", "100000.0")]
    [InlineData(1e6, "1e+06", "1e+06")]
    [InlineData(1e10, "1e+10", "1e+10")]
    [InlineData(1e100, "1e+100", "1e+100")]
    [InlineData(-2.5, "-2.5", "-2.5")]
    [InlineData(double.PositiveInfinity, "+Inf", "+Inf")]
    public void Bucket_bounds_are_canonical(double bound, string text, string openMetrics)
    {
        Assert.Equal(text, MetricText.Bound(bound, ExpositionFormat.PrometheusText));
        Assert.Equal(openMetrics, MetricText.Bound(bound, ExpositionFormat.OpenMetrics));
    }
}
