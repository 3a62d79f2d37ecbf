using System.Net;
using System.Text.RegularExpressions;
using UffdManager.Daemon.Dashboard;
using UffdManager.Daemon.Tests.Telemetry;
using Xunit;

namespace UffdManager.Daemon.Tests.Dashboard;

[Collection(TelemetryHost.Collection)]
public sealed partial class DashboardPageTests
{
    [Theory]
    [InlineData("/", "text/html; charset=utf-8")]
    [InlineData("/dashboard.js", "text/javascript; charset=utf-8")]
    [InlineData("/dashboard.css", "text/css; charset=utf-8")]
    [InlineData("/dashboard.svg", "image/svg+xml")]
    public async Task File_is_served_with_a_strict_policy_and_only_sent_when_it_is_new(string path, string contentType)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using HttpResponseMessage response = await host.Http.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(contentType, response.Content.Headers.NonValidated["Content-Type"].ToString());
        string policy = response.Headers.GetValues("Content-Security-Policy").Single();
        Assert.StartsWith("default-src 'none'; script-src 'self'; style-src 'self';", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.Contains("frame-ancestors 'none'", policy, StringComparison.Ordinal);
        Assert.Equal("nosniff", response.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.True(response.Headers.CacheControl!.NoCache);

        using HttpRequestMessage again = new(HttpMethod.Get, path);
        again.Headers.IfNoneMatch.Add(response.Headers.ETag!);
        using HttpResponseMessage unchanged = await host.Http.SendAsync(again);
        Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);
        Assert.Empty(await unchanged.Content.ReadAsByteArrayAsync());

        using HttpResponseMessage head = await host.Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, path));
        Assert.Equal(response.Content.Headers.ContentLength, head.Content.Headers.ContentLength);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/dashboard.js")]
    [InlineData("/live")]
    [InlineData("/live/sessions/1")]
    public async Task Nothing_is_there_when_the_configuration_turns_it_off(string path)
    {
        await using DashboardHost host = await DashboardHost.StartAsync(dashboard: false);
        Assert.Equal(HttpStatusCode.NotFound, (await host.Http.GetAsync(path)).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await host.Http.GetAsync("/metrics")).StatusCode);
    }

    [Theory]
    [InlineData("/index.html")]
    [InlineData("/live/")]
    [InlineData("/live/sessions/")]
    [InlineData("/live/sessions/-1")]
    [InlineData("/live/sessions/1x")]
    [InlineData("/live/sessions/99999999999999999999")]
    [InlineData("/dashboard.js/..%2f")]
    public async Task Other_paths_are_not_found(string path)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        Assert.Equal(HttpStatusCode.NotFound, (await host.Http.GetAsync(path)).StatusCode);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/live")]
    [InlineData("/live/sessions/1")]
    public async Task Only_get_and_head_are_allowed(string path)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        foreach (HttpMethod method in new[] { HttpMethod.Post, HttpMethod.Put, HttpMethod.Delete })
            Assert.Equal(HttpStatusCode.MethodNotAllowed, (await host.Http.SendAsync(new HttpRequestMessage(method, path))).StatusCode);
        Assert.Equal(0, host.Source.Looks);
    }

    [Fact]
    public void Files_need_nothing_from_elsewhere_and_make_no_markup_of_data()
    {
        DashboardAssets assets = new();
        string Text(string path) => System.Text.Encoding.UTF8.GetString(assets.Find(path)!.Bytes.Span);

        foreach (string path in new[] { "/", "/dashboard.js", "/dashboard.css" })
            Assert.DoesNotMatch(ElsewherePattern(), Text(path));
        Assert.DoesNotMatch(InlinePattern(), Text("/"));
        Assert.DoesNotMatch(MarkupPattern(), Text("/dashboard.js"));
    }

    [GeneratedRegex("""https?:|["'(]//|@import|url\(""", RegexOptions.None, 1000)]
    private static partial Regex ElsewherePattern();

    [GeneratedRegex("""<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:""", RegexOptions.IgnoreCase, 1000)]
    private static partial Regex InlinePattern();

    [GeneratedRegex("""innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|DOMParser|createContextualFragment""", RegexOptions.None, 1000)]
    private static partial Regex MarkupPattern();
}
