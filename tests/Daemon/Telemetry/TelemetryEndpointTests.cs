using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using UffdManager.Daemon.Telemetry;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Telemetry;

[Collection(TelemetryHost.Collection)]
public class TelemetryEndpointTests
{
    [Theory]
    [InlineData("text/plain", "text/plain; version=0.0.4; charset=utf-8", false)]
    [InlineData("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text; version=1.0.0; charset=utf-8", true)]
    public async Task Metrics_come_in_the_format_that_was_asked_for(string accept, string contentType, bool openMetrics)
    {
        await using var host = await TelemetryHost.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        request.Headers.TryAddWithoutValidation("Accept", accept);
        using var response = await host.Http.SendAsync(request);
        string body = await response.Content.ReadAsStringAsync();

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(contentType, response.Content.Headers.NonValidated["Content-Type"].ToString());
        Assert.Equal("Accept", response.Headers.Vary.Single());
        Assert.True(response.Headers.CacheControl!.NoStore);
        Assert.Equal(openMetrics, body.EndsWith("# EOF\n", StringComparison.Ordinal));
        Assert.Contains("uffd_manager_build_info{", body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/metrics")]
    [InlineData("/healthz")]
    [InlineData("/readyz")]
    public async Task Head_is_answered_without_a_body(string path)
    {
        await using var host = await TelemetryHost.StartAsync();
        using var response = await host.Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, path));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.True(response.Content.Headers.ContentLength > 0);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/metrics/")]
    [InlineData("/Metrics")]
    [InlineData("/debug/pprof")]
    public async Task Other_paths_are_not_found(string path)
    {
        await using var host = await TelemetryHost.StartAsync();
        Assert.Equal(HttpStatusCode.NotFound, (await host.Http.GetAsync(path)).StatusCode);
    }

    [Theory]
    [InlineData("POST")]
    [InlineData("DELETE")]
    [InlineData("BREW")]
    public async Task Other_methods_are_not_allowed(string method)
    {
        await using var host = await TelemetryHost.StartAsync();
        using var response = await host.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), "/metrics"));
        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal(["GET", "HEAD"], response.Content.Headers.Allow);
    }

    [Fact]
    public async Task Healthz_tells_what_is_stuck_whatever_the_phase()
    {
        await using var host = await TelemetryHost.StartAsync();
        host.IsReady = false;
        Assert.Equal((HttpStatusCode.OK, "healthy\n"), await GetAsync(host, "/healthz"));
        host.Complaints.Add("loop 1 is stuck");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "loop 1 is stuck\n"), await GetAsync(host, "/healthz"));
    }

    [Fact]
    public async Task Readyz_gives_the_phase_or_what_is_stuck_as_reasons()
    {
        await using var host = await TelemetryHost.StartAsync();
        (host.IsReady, host.Reason) = (false, "starting");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "starting\n"), await GetAsync(host, "/readyz"));
        host.IsReady = true;
        Assert.Equal((HttpStatusCode.OK, "ready\n"), await GetAsync(host, "/readyz"));
        host.Complaints.Add("loop 1 is stuck");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "loop 1 is stuck\n"), await GetAsync(host, "/readyz"));
        (host.IsReady, host.Reason) = (false, "stopping");
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "stopping\n"), await GetAsync(host, "/readyz"));
    }

    [Fact]
    public async Task Taken_port_stops_the_start_with_address_and_reason()
    {
        await using var first = await TelemetryHost.StartAsync();
        var e = await Assert.ThrowsAsync<MetricsBindException>(
            () => TelemetryHost.StartAsync(TelemetryHost.AnyPort with { Port = first.Address.Port }));
        Assert.Equal($"metrics: cannot listen on 127.0.0.1 port {first.Address.Port}: Address already in use", e.Message);
    }

    [Fact]
    public async Task Foreign_address_stops_the_start_with_address_and_reason()
    {
        // 192.0.2.0/24 is set aside for documentation (RFC 5737): no host has it.
        var e = await Assert.ThrowsAsync<MetricsBindException>(
            () => TelemetryHost.StartAsync(TelemetryHost.AnyPort with { Address = "192.0.2.1", Port = 9464 }));
        Assert.Equal("metrics: cannot listen on 192.0.2.1 port 9464: Cannot assign requested address", e.Message);
    }

    [Fact]
    public async Task Disabled_endpoint_does_not_listen()
    {
        await using var host = await TelemetryHost.StartAsync(TelemetryHost.AnyPort with { Enabled = false });
        Assert.Null(host.Get<MetricsAddress>().Bound);
    }

    [SkippableFact]
    public async Task IPv6_loopback_is_an_address_like_any_other()
    {
        Require.That(File.Exists("/proc/net/if_inet6") && File.ReadAllText("/proc/net/if_inet6").Contains(" lo\n", StringComparison.Ordinal), "needs IPv6 on the loopback interface");
        await using var host = await TelemetryHost.StartAsync(TelemetryHost.AnyPort with { Address = "::1" });
        Assert.Equal((HttpStatusCode.OK, "ready\n"), await GetAsync(host, "/readyz"));
    }

    [Fact]
    public async Task Oversized_requests_are_refused()
    {
        await using var host = await TelemetryHost.StartAsync();
        Assert.Equal(HttpStatusCode.RequestUriTooLong, (await host.Http.GetAsync("/" + new string('x', 5000))).StatusCode);

        using var headers = new HttpRequestMessage(HttpMethod.Get, "/metrics");
        headers.Headers.Add("X-Large", new string('x', 20_000));
        Assert.Equal(HttpStatusCode.RequestHeaderFieldsTooLarge, (await host.Http.SendAsync(headers)).StatusCode);
    }

    [Fact]
    public async Task Connections_beyond_the_limit_are_closed_and_the_rest_go_on()
    {
        await using var host = await TelemetryHost.StartAsync();
        var sockets = new List<Socket>();
        try
        {
            // Connections that were answered and stay open.
            for (int i = 0; i < 256; i++)
            {
                var socket = await ConnectAsync(host);
                sockets.Add(socket);
                Assert.StartsWith("HTTP/1.1 200", await AskAsync(socket), StringComparison.Ordinal);
            }

            var surplus = await ConnectAsync(host);
            sockets.Add(surplus);
            Assert.Equal("", await AskAsync(surplus));
            Assert.StartsWith("HTTP/1.1 200", await AskAsync(sockets[0]), StringComparison.Ordinal);
        }
        finally
        {
            sockets.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public async Task Concurrent_scrapes_are_all_whole()
    {
        await using var host = await TelemetryHost.StartAsync();
        string[] bodies = await Task.WhenAll(Enumerable.Range(0, 40).Select(async i =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
            request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(i % 2 == 0 ? "text/plain" : "application/openmetrics-text"));
            using var response = await host.Http.SendAsync(request);
            return await response.Content.ReadAsStringAsync();
        }));

        Assert.All(bodies.Select((body, i) => (body, i)), b => Assert.Equal(b.i % 2 == 1, b.body.EndsWith("# EOF\n", StringComparison.Ordinal)));
        Assert.All(bodies, body => Assert.Single(body.Split('\n'), l => l.StartsWith("uffd_manager_build_info{", StringComparison.Ordinal)));
    }

    private static async Task<(HttpStatusCode Status, string Body)> GetAsync(TelemetryHost host, string path)
    {
        using var response = await host.Http.GetAsync(path);
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private static async Task<Socket> ConnectAsync(TelemetryHost host)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(host.Address.Host, host.Address.Port);
        return socket;
    }

    /// <summary>What a request on an open connection brings; empty when the server has closed it.</summary>
    private static async Task<string> AskAsync(Socket socket)
    {
        byte[] buffer = new byte[4096];
        try
        {
            await socket.SendAsync(Encoding.ASCII.GetBytes("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"));
            return Encoding.ASCII.GetString(buffer, 0, await socket.ReceiveAsync(buffer));
        }
        catch (SocketException)
        {
            return "";
        }
    }
}
