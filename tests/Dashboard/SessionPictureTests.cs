using System.Text.RegularExpressions;
using Microsoft.Playwright;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace UffdManager.Dashboard.Tests;

/// <summary>What the page shows is what the daemon does, in a real browser, with real clients.</summary>
[Collection(Browser.Collection)]
public sealed partial class SessionPictureTests(Browser browser)
{
    [SkippableFact]
    public async Task Session_is_shown_from_its_start_to_its_end_with_every_page_of_its_memory()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        await page.ExpectAsync("sessions-empty", "No sessions yet: start one with uffd-run");
        await page.ExpectAsync("phase", "ready");
        await page.ExpectAsync("process", $"pid {daemon.Pid}");
        await Expect(page.Page.Locator("#loops li").First).ToContainTextAsync("% busy");
        await Expect(page.Page.Locator("#tenants tr[data-key='everybody']")).ToContainTextAsync("of 16.0 TiB");

        using ServedClient client = ServedClient.Start(daemon.SocketPath, "the first");
        ILocator row = await page.RowAsync(client.Session);
        await Expect(row).ToContainTextAsync($"pid {client.Process.Pid}");
        await Expect(row).ToContainTextAsync("the first");
        await Expect(row).ToContainTextAsync("uffd-client");
        await page.ExpectAsync("now-sessions", "1");

        ulong address = client.MapFile(64, Path.Combine(daemon.Directory, "image"));
        client.Touch(address, 16);
        await Expect(row).ToContainTextAsync("64.0 KiB");
        await Expect(row).ToContainTextAsync("of 256 KiB");
        await Expect(page.Element("latency")).ToHaveAttributeAsync("data-faults", "16");

        await page.SelectAsync(client.Session);
        ILocator region = page.Regions.First;
        await Expect(region).ToHaveAttributeAsync("data-present", "16");
        await Expect(region).ToContainTextAsync("256 KiB in 64 pages of 4.00 KiB, from a descriptor of the client");
        await ExpectCellsAsync(region, [.. Enumerable.Repeat("--present", 16), .. Enumerable.Repeat("--absent", 48)]);

        client.Touch(address + (32 * ServedClient.PageSize), 8);
        await Expect(region).ToHaveAttributeAsync("data-present", "24");
        client.GiveBack(address, 4);
        await Expect(region).ToHaveAttributeAsync("data-removed", "4");
        await Expect(region).ToHaveAttributeAsync("data-present", "20");
        await ExpectCellsAsync(region, [.. Enumerable.Repeat("--removed", 4), .. Enumerable.Repeat("--present", 12), .. Enumerable.Repeat("--absent", 16), .. Enumerable.Repeat("--present", 8)]);
        await Expect(region.Locator("canvas")).ToHaveAttributeAsync("aria-label", SumsPattern());
        await page.PictureAsync("session-light");

        client.Process.Kill();
        await Expect(page.Sessions).ToHaveCountAsync(0);
        await page.ExpectAsync("detail-state", "has ended");
        await page.ExpectAsync("now-sessions", "0");
        await Expect(page.Element("sessions-empty")).ToBeVisibleAsync();

        // The question about the session that is over is answered by 404, and the browser notes that; the readbacks are ours.
        page.AssertQuiet("error: Failed to load resource: the server responded with a status of 404", "warning: Canvas2D: Multiple readback");
    }

    [SkippableFact]
    public async Task Page_that_cannot_be_had_is_shown_as_poisoned()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath);
        string path = Path.Combine(daemon.Directory, "image");
        ulong address = client.MapFile(8, path);
        client.Touch(address, 1);
        using (FileStream file = File.OpenWrite(path))
            file.SetLength(2 * (long)ServedClient.PageSize);
        Assert.NotEqual(0, client.Process.Try($"read {address + (4 * ServedClient.PageSize)}").Signal);

        await using DashboardPage page = await browser.OpenAsync(new Uri(daemon.MetricsUri, $"#session={client.Session}"));
        ILocator region = page.Regions.First;
        await Expect(region).ToHaveAttributeAsync("data-poisoned", "1");
        await Expect(region).ToHaveAttributeAsync("data-present", "1");
        await Expect(region).ToContainTextAsync("poisoned 1 pages");
        page.AssertQuiet();
    }

    [SkippableFact]
    public async Task Nothing_tells_where_memory_lies()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath);
        ulong address = client.Map(8);
        await using DashboardPage page = await browser.OpenAsync(new Uri(daemon.MetricsUri, $"#session={client.Session}"));
        await Expect(page.Regions.First).ToBeVisibleAsync();
        string told = await page.Page.ContentAsync() + await daemon.GetAsync($"live/sessions/{client.Session}");
        Assert.DoesNotContain($"{address:x}", told, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain($"{address}", told, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Regions_beyond_the_first_are_paged_through()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath);
        for (int i = 0; i < 14; i++)
            client.Map(2);
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        await page.SelectAsync(client.Session);
        await page.ExpectAsync("detail-state", "Regions 1 to 12 of 14");
        await page.Element("detail-next").ClickAsync();
        await page.ExpectAsync("detail-state", "Regions 13 to 14 of 14");
        await Expect(page.Element("detail-next")).ToBeDisabledAsync();
        await page.Element("detail-back").ClickAsync();
        await page.ExpectAsync("detail-state", "Regions 1 to 12 of 14");
        page.AssertQuiet();
    }

    [SkippableFact]
    public async Task Text_of_a_hostile_client_is_text()
    {
        Browser.Require();
        const string Hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'>&lt;b";
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath, Hostile);
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        ILocator row = await page.RowAsync(client.Session);
        await Expect(row.Locator("td[data-name='Label']")).ToHaveTextAsync(Hostile);
        await page.SelectAsync(client.Session);
        await page.ExpectAsync("detail-facts", Hostile);
        await page.ExpectAsync("detail-state", "No regions");
        Assert.Equal(0, await page.Page.Locator("img, body script, iframe, b").CountAsync());
        page.AssertQuiet();
    }

    // The lower half of each cell has the colour of its state, as cells are filled from the bottom; hatching takes most of it in some states.
    private static async Task ExpectCellsAsync(ILocator region, string[] expected)
    {
        string[] wrong = await region.Locator("canvas").EvaluateAsync<string[]>(
            """
            (canvas, expected) => {
              const columns = Math.min(64, canvas.getBoundingClientRect().width >= 640 ? 64 : 32);
              const rows = Math.ceil(64 / columns);
              const [wide, high] = [canvas.width / columns, canvas.height / rows];
              const context = canvas.getContext('2d');
              const style = getComputedStyle(document.documentElement);
              const near = (pixel, name) => {
                const text = style.getPropertyValue(name).trim();
                return [1, 3, 5].every((at, i) => Math.abs(parseInt(text.slice(at, at + 2), 16) - pixel[i]) <= 2);
              };
              return expected.flatMap((name, i) => {
                const [left, top] = [Math.floor(i % columns * wide), Math.floor(Math.floor(i / columns) * high)];
                const pixels = context.getImageData(left + 1, top + Math.floor(high / 2), Math.floor(wide) - 2, Math.floor(high / 2) - 2).data;
                const found = [];
                for (let at = 0; at < pixels.length; at += 4) found.push(pixels.slice(at, at + 3));
                const part = found.filter(pixel => near(pixel, name)).length / found.length;
                return part > 0.25 ? [] : [`cell ${i}: ${Math.round(part * 100)} % of ${name}`];
              });
            }
            """,
            expected);
        Assert.Empty(wrong);
    }

    [GeneratedRegex("resident 20, in flight 0, removed 4, evicted 0, poisoned 0 pages; 80.0 KiB resident", RegexOptions.None, 1000)]
    private static partial Regex SumsPattern();
}
