using UffdManager.Control;
using UffdManager.Daemon.Hosting;
using UffdManager.Daemon.Inspection;
using UffdManager.Daemon.Tests.Configuration;
using Xunit;

namespace UffdManager.Daemon.Tests.Inspection;

public sealed class ConfigurationViewTests
{
    [Theory]
    [InlineData("http://user:secret@collector:4317/v1?token=secret", "http://REDACTED@collector:4317/v1?REDACTED")]
    [InlineData("https://collector/?api-key=secret", "https://collector/?REDACTED")]
    [InlineData("http://127.0.0.1:4317", null)]
    [InlineData("/srv/image?x", null)]
    [InlineData("zero", null)]
    public void Url_is_shown_without_its_secrets(string text, string? shown) => Assert.Equal(shown, ConfigurationView.RedactUrl(text));

    [Fact]
    public void Configuration_is_shown_without_secrets_and_with_sources_if_wanted()
    {
        ConfigurationInUse inUse = new(Layers.Load(Layers.Minimal, """{ "otlp": { "endpoint": "http://u:hush@collector:4317" } }"""), TimeProvider.System);
        ConfigurationDto plain = ConfigurationView.Document(inUse.Now, withSources: false);
        Assert.Equal("http://REDACTED@collector:4317", (string?)plain.Settings["otlp"]!["endpoint"]);
        Assert.Equal("10s", (string?)plain.Settings["shutdown"]!["grace"]);

        ConfigurationDto sources = ConfigurationView.Document(inUse.Now, withSources: true);
        Assert.Equal("file1.json", (string?)sources.Settings["otlp"]!["endpoint"]!["source"]);
        Assert.Equal("default", (string?)sources.Settings["shutdown"]!["grace"]!["source"]);
        Assert.DoesNotContain("hush", sources.Settings.ToJsonString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("3:0x1000", 3, 0x1000)]
    [InlineData("3:4096", 3, 0x1000)]
    public void Cursor_is_read_as_it_is_written(string text, long session, ulong from)
    {
        Assert.True(RegionCursor.TryParse(text, out RegionCursor cursor));
        Assert.Equal(new RegionCursor(session, from), cursor);
        Assert.Equal("3:0x1000", cursor.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("3")]
    [InlineData("x:0x1")]
    [InlineData("3:0xg")]
    [InlineData("3:-1")]
    public void Cursor_that_is_none_is_refused(string text) => Assert.False(RegionCursor.TryParse(text, out _));
}
