using Microsoft.Playwright;
using UffdManager.EndToEnd.Tests;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace UffdManager.Dashboard.Tests;

/// <summary>Readable on small screens, by day and by night, and without a mouse.</summary>
[Collection(Browser.Collection)]
public sealed class ReadabilityTests(Browser browser)
{
    [SkippableTheory]
    [InlineData(1280, ColorScheme.Light)]
    [InlineData(1280, ColorScheme.Dark)]
    [InlineData(400, ColorScheme.Light)]
    [InlineData(400, ColorScheme.Dark)]
    public async Task Page_fits_the_window_and_its_text_can_be_read(int width, ColorScheme scheme)
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri, width, scheme);
        await page.AssertFitsAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath, new string('w', 64));
        ulong address = client.MapFile(1024, Path.Combine(daemon.Directory, "image"));
        client.Touch(address, 300);
        client.GiveBack(address, 40);
        await page.SelectAsync(client.Session);
        await Expect(page.Regions.First).ToHaveAttributeAsync("data-removed", "40");
        await page.AssertFitsAsync();

        string[] faint = await page.Page.EvaluateAsync<string[]>(FaintText);
        Assert.Empty(faint);
        await page.PictureAsync($"{scheme}-{width}".ToLowerInvariant());
        page.AssertQuiet();
    }

    [SkippableFact]
    public async Task Update_moves_nothing()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath);
        ulong address = client.Map(4096);
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        await page.SelectAsync(client.Session);
        await Expect(page.Regions.First).ToBeVisibleAsync();

        await page.Page.EvaluateAsync(
            """
            () => {
              window.shifts = [];
              new PerformanceObserver(list => window.shifts.push(...list.getEntries().map(entry =>
                `${entry.value}: ${entry.sources.map(source => source.node?.id || source.node?.nodeName)}`))).observe({ type: 'layout-shift' });
            }
            """);
        for (ulong round = 1; round <= 4; round++)
        {
            client.Touch(address + ((round - 1) * 500 * ServedClient.PageSize), 500);
            await Expect(page.Regions.First).ToHaveAttributeAsync("data-present", $"{round * 500}");
        }

        Assert.Empty(await page.Page.EvaluateAsync<string[]>("() => window.shifts"));
        page.AssertQuiet();
    }

    [SkippableFact]
    public async Task Everything_is_reached_by_keyboard()
    {
        Browser.Require();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync();
        using ServedClient client = ServedClient.Start(daemon.SocketPath);
        ulong address = client.Map(64);
        client.Touch(address, 8);
        await using DashboardPage page = await browser.OpenAsync(daemon.MetricsUri);
        ILocator open = (await page.RowAsync(client.Session)).GetByRole(AriaRole.Button);

        await page.Page.Keyboard.PressAsync("Tab");
        await Expect(page.Page.Locator(".skip")).ToBeFocusedAsync();
        await page.Page.Keyboard.PressAsync("Enter");
        await Expect(page.Element("sessions")).ToBeFocusedAsync();
        for (int column = 0; column < 5; column++)
            await page.Page.Keyboard.PressAsync("Tab");
        await Expect(page.Page.Locator("[data-sort='residentBytes']")).ToBeFocusedAsync();
        await page.Page.Keyboard.PressAsync("Enter");
        await Expect(page.Page.Locator("th[aria-sort='descending']")).ToContainTextAsync("Resident");
        await page.Page.Keyboard.PressAsync("Tab");
        await Expect(open).ToBeFocusedAsync();

        await page.Page.Keyboard.PressAsync("Enter");
        await Expect(page.Element("detail-title")).ToBeFocusedAsync();
        await Expect(page.Regions.First).ToHaveAttributeAsync("data-present", "8");
        await page.Regions.First.Locator("canvas").FocusAsync();
        await page.Page.Keyboard.PressAsync("ArrowRight");
        await Expect(page.Regions.First.Locator("output")).ToHaveTextAsync("Pages 0 to 0: resident 1");
        await page.Page.Keyboard.PressAsync("Escape");
        await page.Element("detail-close").FocusAsync();
        await page.Page.Keyboard.PressAsync("Escape");
        await Expect(open).ToBeFocusedAsync();

        await page.Element("latency").FocusAsync();
        await page.Page.Keyboard.PressAsync("ArrowLeft");
        await page.ExpectAsync("latency-readout", "in all");
        page.AssertQuiet();
    }

    // Texts with less contrast to what is behind them than WCAG 2 asks for (level AA, 4.5 to 1).
    private const string FaintText =
        """
        () => {
          const channels = text => (text.match(/[\d.]+/g) ?? []).map(Number);
          const luminance = ([r, g, b]) => {
            const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * x + 0.7152 * y + 0.0722 * z;
          };
          const ground = node => {
            for (let at = node; at; at = at.parentElement) {
              const color = channels(getComputedStyle(at).backgroundColor);
              if (color.length === 3 || color[3] === 1) return color;
            }
            return [255, 255, 255];
          };
          const faint = [];
          const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (walker.nextNode()) {
            const node = walker.currentNode.parentElement;
            if (walker.currentNode.textContent.trim() === '' || node.getClientRects().length === 0 || node.closest('noscript')) continue;
            const [front, back] = [luminance(channels(getComputedStyle(node).color)), luminance(ground(node))];
            const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
            if (contrast < 4.5) faint.push(`${node.tagName}#${node.id} "${walker.currentNode.textContent.trim()}": ${contrast.toFixed(2)}`);
          }
          return faint;
        }
        """;
}
