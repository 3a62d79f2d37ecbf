using UffdManager.Daemon.Telemetry.Exposition;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

public class ContentNegotiationTests
{
    private const ExpositionFormat Text = ExpositionFormat.PrometheusText;
    private const ExpositionFormat Open = ExpositionFormat.OpenMetrics;

    [Theory]
    // Nothing, anything, or something else entirely: the plain text that every reader understands.
    [InlineData("", Text)]
    [InlineData("*/*", Text)]
    [InlineData("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Text)]
    [InlineData("application/json", Text)]
    [InlineData("this is ; not, a / header;;", Text)]
    // Prometheus 2.42 as it comes, and version 3 with its escaping parameter.
    [InlineData("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Open)]
    [InlineData("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2", Open)]
    // A malformed element among sound ones.
    [InlineData("bogus, application/openmetrics-text", Open)]
    // An unreadable quality is none.
    [InlineData("application/openmetrics-text;q=high, text/plain;q=0.5", Open)]
    // One format named.
    [InlineData("application/openmetrics-text", Open)]
    [InlineData("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", Open)]
    [InlineData("application/openmetrics-text; version=\"1.0.0\"", Open)]
    [InlineData("text/plain", Text)]
    [InlineData("text/plain;version=0.0.4", Text)]
    [InlineData("text/*", Text)]
    // A version that is not spoken here.
    [InlineData("application/openmetrics-text;version=0.0.1", Text)]
    [InlineData("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", Text)]
    // Quality decides; a tie goes to the richer format, which had to be named to be in the race.
    [InlineData("application/openmetrics-text;q=0.4,text/plain;q=0.5", Text)]
    [InlineData("application/openmetrics-text;q=0.5,text/plain;q=0.4", Open)]
    [InlineData("text/plain,application/openmetrics-text", Open)]
    [InlineData("application/openmetrics-text;q=0.5,*/*;q=0.8", Text)]
    [InlineData("application/openmetrics-text;q=0", Text)]
    [InlineData("application/openmetrics-text;q=0,*/*", Text)]
    // The narrowest range speaks for text, wherever it stands.
    [InlineData("text/plain;version=0.0.4;q=0.2,*/*,application/openmetrics-text;q=0.5", Open)]
    [InlineData("Text/Plain,application/openmetrics-text;q=0.5", Text)]
    [InlineData("*/*,text/plain;q=0.2,application/openmetrics-text;q=0.5", Open)]
    public void Accept_header_selects_the_format(string accept, ExpositionFormat expected) =>
        Assert.Equal(expected, ContentNegotiation.Choose(accept.Length == 0 ? [] : [accept]));

    [Fact]
    public void Accept_header_may_be_spread_over_several_lines() =>
        Assert.Equal(Open, ContentNegotiation.Choose(["text/plain;q=0.5", "application/openmetrics-text;version=1.0.0"]));

    [Fact]
    public void Content_type_names_the_version_of_each_format()
    {
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", ContentNegotiation.ContentType(Text));
        Assert.Equal("application/openmetrics-text; version=1.0.0; charset=utf-8", ContentNegotiation.ContentType(Open));
    }
}
