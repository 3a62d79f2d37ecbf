using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using UffdManager.Daemon.Dashboard;
using UffdManager.Daemon.Tests.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Dashboard;

[Collection(TelemetryHost.Collection)]
public sealed class LiveStreamTests
{
    [Fact]
    public async Task Stream_says_who_speaks_then_the_history_then_frames()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using EventReader page = await host.OpenAsync();
        Assert.Equal(HttpStatusCode.OK, page.Response.StatusCode);
        Assert.Equal("text/event-stream", page.Response.Content.Headers.ContentType!.MediaType);
        Assert.True(page.Response.Headers.CacheControl!.NoStore);
        Assert.Equal("same-origin", page.Response.Headers.GetValues("Cross-Origin-Resource-Policy").Single());
        Assert.False(page.Response.Headers.Contains("Access-Control-Allow-Origin"));

        Assert.Equal("hello", (await page.NextAsync())!.Value.Name);
        host.Source.Emit(FakeLiveSource.Sample());
        Assert.Equal("latency", (await page.NextAsync())!.Value.Name);
        Assert.Equal("frame", (await page.NextAsync())!.Value.Name);
        host.Source.Emit(FakeLiveSource.Sample());
        Assert.Equal("frame", (await page.NextAsync())!.Value.Name);
    }

    [Fact]
    public async Task Text_of_a_client_is_escaped_and_stays_what_it_is()
    {
        const string Hostile = "</script><img src=x onerror=\"alert(1)\">\n\nevent: frame\ndata: {}\u2028&'";
        await using DashboardHost host = await DashboardHost.StartAsync();
        using EventReader page = await host.OpenAsync();
        await page.NextAsync("latency", () => host.Source.Emit(FakeLiveSource.Sample(Hostile)));
        (string name, string data) = (await page.NextAsync())!.Value;
        Assert.Equal("frame", name);
        Assert.DoesNotContain(data, c => c is '<' or '>' or '&' or '\'' or '\n' or '\u2028');
        using System.Text.Json.JsonDocument frame = System.Text.Json.JsonDocument.Parse(data);
        Assert.Equal(Hostile, frame.RootElement.GetProperty("sessions")[0].GetProperty("label").GetString());
    }

    [Theory]
    [InlineData("evil.example")]
    [InlineData("evil.example:9464")]
    [InlineData("127.0.0.1.evil.example")]
    [InlineData("localhost.evil.example")]
    [InlineData("notlocalhost")]
    [InlineData("")]
    public async Task Request_by_a_name_that_could_be_pointed_here_is_refused(string name)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        foreach (string path in new[] { "/live", "/live/sessions/1" })
        {
            string answer = await host.AskAsync($"GET {path} HTTP/1.1", $"Host: {name}", "Connection: close");
            Assert.StartsWith("HTTP/1.1 421", answer, StringComparison.Ordinal);
        }

        Assert.Equal((0, 0), (host.Source.Looks, host.Source.Counts));
    }

    [Theory]
    [InlineData("127.0.0.1:9464")]
    [InlineData("192.0.2.7")]
    [InlineData("[::1]:9464")]
    [InlineData("localhost")]
    [InlineData("LOCALHOST:80")]
    [InlineData("vm.localhost:80")]
    public async Task Request_by_address_or_as_localhost_is_answered(string name)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        Assert.StartsWith("HTTP/1.1 200", await host.AskAsync("GET /live/sessions/1 HTTP/1.1", $"Host: {name}", "Connection: close"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("cross-site", "421")]
    [InlineData("same-site", "421")]
    [InlineData("same-origin", "200")]
    [InlineData("none", "200")]
    public async Task Request_of_another_sites_page_is_refused(string site, string status)
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        string answer = await host.AskAsync("HEAD /live HTTP/1.1", "Host: localhost", $"Sec-Fetch-Site: {site}", "Connection: close");
        Assert.StartsWith($"HTTP/1.1 {status}", answer, StringComparison.Ordinal);
        Assert.Equal(0, host.Source.Looks);
    }

    [Fact]
    public async Task Daemon_is_looked_at_once_for_all_pages_and_not_at_all_without_one()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        Assert.Equal(0, host.Source.Looks);
        List<EventReader> pages = [];
        for (int i = 0; i < 20; i++)
        {
            pages.Add(await host.OpenAsync());
            await pages[i].NextAsync("hello");
        }

        host.Source.Emit(FakeLiveSource.Sample("shared"));
        foreach (EventReader page in pages)
            await page.NextAsync("frame");
        Assert.Equal((1, 1, 20), (host.Source.Looking, host.Source.Looks, host.Feed.Count));

        pages.ForEach(page => page.Dispose());
        Eventually.True(() => host.Source.Looking == 0 && host.Feed.Count == 0 && !host.Feed.IsWatching, "the looking to end with the last page");

        using EventReader later = await host.OpenAsync();
        await later.NextAsync("hello");
        Eventually.True(() => host.Source.Looking == 1, "the looking to begin again");
        Assert.Equal(2, host.Source.Looks);
    }

    [Fact]
    public async Task Page_that_comes_later_gets_the_newest_frame_at_once()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using EventReader first = await host.OpenAsync();
        host.Source.Emit(FakeLiveSource.Sample("newest"));
        await first.NextAsync("frame");
        using EventReader second = await host.OpenAsync();
        await second.NextAsync("latency");
        Assert.Equal("newest", (await second.NextAsync("frame")).GetProperty("sessions")[0].GetProperty("label").GetString());
    }

    [Fact]
    public async Task Pages_beyond_the_limit_are_told_so_until_one_leaves()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        List<EventReader> pages = [];
        try
        {
            for (int i = 0; i < DashboardLimits.Streams; i++)
            {
                pages.Add(await host.OpenAsync());
                await pages[i].NextAsync("hello");
            }

            using EventReader surplus = await host.OpenAsync();
            Assert.Equal(HttpStatusCode.ServiceUnavailable, surplus.Response.StatusCode);
            Assert.NotNull(surplus.Response.Headers.RetryAfter);
            Assert.Equal(HttpStatusCode.OK, (await host.Http.GetAsync("/metrics")).StatusCode);

            pages[0].Dispose();
            Eventually.True(() => host.Feed.Count == DashboardLimits.Streams - 1, "the place to be free");
            using EventReader next = await host.OpenAsync();
            await next.NextAsync("hello");
        }
        finally
        {
            pages.ForEach(page => page.Dispose());
        }
    }

    [Fact]
    public async Task Reader_that_stops_reading_is_disconnected_and_delays_nobody()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using Socket stuck = await host.ConnectAsync(receiveBuffer: 4096);
        await stuck.SendAsync(Encoding.ASCII.GetBytes("GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        using EventReader page = await host.OpenAsync();
        await page.NextAsync("hello");
        Eventually.True(() => host.Feed.Count == 2, "both pages to be fed");

        // More than the sockets of a connection hold; nobody reads them at one end.
        LiveSample large = FakeLiveSource.Sample(new string('x', 1 << 20));
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; host.Feed.Count == 2; i++)
        {
            Assert.True(Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(60), "the reader is still connected");
            host.Source.Emit(large);
            await page.NextAsync("frame");
        }

        Assert.True(Stopwatch.GetElapsedTime(begin) >= DashboardLimits.SlowReader);
        host.Source.Emit(FakeLiveSource.Sample());
        await page.NextAsync("frame");
    }

    [Fact]
    public async Task Trouble_with_a_loop_is_told_and_looking_goes_on()
    {
        await using DashboardHost host = await DashboardHost.StartAsync();
        using EventReader page = await host.OpenAsync();
        host.Source.Fail(new TimeoutException());
        Assert.Equal("a fault loop does not answer", (await page.NextAsync("trouble")).GetProperty("reason").GetString());
        host.Source.Emit(FakeLiveSource.Sample());
        await page.NextAsync("latency");
        await page.NextAsync("frame");
        Assert.Equal(2, host.Source.Looks);
    }

    [Fact]
    public async Task Stop_of_the_daemon_ends_the_streams_and_does_not_wait_for_them()
    {
        DashboardHost host = await DashboardHost.StartAsync();
        using EventReader page = await host.OpenAsync();
        await page.NextAsync("hello");
        await host.Feed.StoppingAsync(CancellationToken.None);
        await page.NextAsync("bye");
        Assert.Null(await page.NextAsync());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await host.Http.GetAsync("/live")).StatusCode);

        long begin = Stopwatch.GetTimestamp();
        await host.DisposeAsync();
        Assert.True(Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(10), "the stop waited for a stream");
    }
}
