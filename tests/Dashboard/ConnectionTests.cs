using System.Net;
using System.Net.Sockets;
using Microsoft.Playwright;
using UffdManager.EndToEnd.Tests;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace UffdManager.Dashboard.Tests;

/// <summary>The page outlives the daemon, and says how the daemon is.</summary>
[Collection(Browser.Collection)]
public sealed class ConnectionTests(Browser browser)
{
    private const string Unreachable = "error: Failed to load resource: net::ERR_";

    [SkippableFact]
    public async Task Page_goes_on_with_the_daemon_that_takes_over()
    {
        Browser.Require();
        await using SupervisedDaemon manager = await SupervisedDaemon.StartAsync();
        using ServedClient client = ServedClient.Start(manager.SocketPath, "survivor");
        ulong address = client.Map(64);
        client.Touch(address, 16);

        await using DashboardPage page = await browser.OpenAsync(manager.Address);
        await page.ExpectAsync("restored", "nothing");
        await page.ExpectAsync("kept", "a successor takes over");
        await page.SelectAsync(client.Session);
        await Expect(page.Regions.First).ToHaveAttributeAsync("data-present", "16");

        manager.Kill();
        await page.ExpectAsync("process", "restarted 1 time");
        await page.ExpectStateAsync("live");
        await page.ExpectAsync("restored", "1 session from the predecessor");
        await Expect(await page.RowAsync(client.Session)).ToContainTextAsync("survivor");
        await page.ExpectAsync("detail-facts", "taken over from an earlier daemon");
        client.Touch(address + (16 * ServedClient.PageSize), 4);
        await Expect(page.Regions.First).ToHaveAttributeAsync("data-present", "20");
        await page.PictureAsync("after-restart");

        manager.HandOver();
        await page.ExpectAsync("process", "restarted 2 times");
        await page.ExpectStateAsync("live");
        page.AssertQuiet(Unreachable);
    }

    [SkippableFact]
    public async Task Loss_of_the_daemon_is_told_and_what_was_seen_last_stays()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath, "the last one");
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        await page.RowAsync(client.Session);

        daemon.Suspend();
        await page.ExpectStateAsync("lost");
        await page.ExpectAsync("connection-state", "Connection to the daemon lost: the daemon is silent. Trying again");
        daemon.Continue();
        await page.ExpectStateAsync("live");

        daemon.Kill();
        await page.ExpectStateAsync("lost");
        await page.ExpectAsync("connection-time", "the page is as of");
        await Expect(await page.RowAsync(client.Session)).ToContainTextAsync("the last one");
        await page.AssertFitsAsync();
        page.AssertQuiet(Unreachable);
    }

    [SkippableFact]
    public async Task Daemon_that_is_drained_says_so()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        await page.ExpectAsync("phase", "ready");
        using HttpClient control = ControlClient(Path.Combine(Path.GetDirectoryName(daemon.SocketPath)!, "control.sock"));
        using HttpResponseMessage drained = await control.PostAsync("http://localhost/v1/drain", content: null);
        Assert.Equal(HttpStatusCode.OK, drained.StatusCode);
        await page.ExpectAsync("phase", "draining since");
        using HttpResponseMessage ended = await control.DeleteAsync("http://localhost/v1/drain");
        await Expect(page.Element("phase")).ToHaveTextAsync("ready");
        page.AssertQuiet();
    }

    [SkippableFact]
    public async Task Hidden_page_is_not_fed()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        const string Show = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }";
        await page.Page.EvaluateAsync(Show, true);
        await page.ExpectAsync("connection-state", "Paused while hidden");
        await page.Page.EvaluateAsync(Show, false);
        await page.ExpectStateAsync("live");
        page.AssertQuiet();
    }

    private static HttpClient ControlClient(string path) => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, cancellationToken) =>
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        },
    });
}
