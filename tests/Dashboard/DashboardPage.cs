using System.Collections.Concurrent;
using Microsoft.Playwright;
using Xunit;

namespace UffdManager.Dashboard.Tests;

/// <summary>The dashboard in a window, and everything that the browser had to say about it.</summary>
public sealed class DashboardPage : IAsyncDisposable
{
    private readonly IBrowserContext _context;
    private readonly ConcurrentQueue<string> _complaints = new();
    private readonly ConcurrentQueue<string> _requests = new();
    private Uri _address = new("http://127.0.0.1/");

    internal DashboardPage(IBrowserContext context, IPage page)
    {
        _context = context;
        Page = page;
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning")
                _complaints.Enqueue($"{message.Type}: {message.Text}");
        };
        page.PageError += (_, text) => _complaints.Enqueue($"exception: {text}");
        page.Dialog += async (_, dialog) =>
        {
            _complaints.Enqueue($"dialog: {dialog.Message}");
            await dialog.DismissAsync();
        };
        context.Request += (_, request) => _requests.Enqueue(request.Url);
    }

    public IPage Page { get; }

    public ILocator Sessions => Page.Locator("#session-rows tr");

    public ILocator Regions => Page.Locator("#regions article");

    public ILocator Element(string id) => Page.Locator("#" + id);

    public async Task GoAsync(Uri address)
    {
        _address = address;
        await Page.GotoAsync(address.ToString());
        await ExpectStateAsync("live");
    }

    /// <summary>Waits for the state of the connection: connecting, live, lost.</summary>
    public Task ExpectStateAsync(string state) => Assertions.Expect(Element("connection")).ToHaveAttributeAsync("data-state", state);

    /// <summary>Waits for an element's text.</summary>
    public Task ExpectAsync(string id, string text) => Assertions.Expect(Element(id)).ToContainTextAsync(text);

    /// <summary>The row of a session, as soon as there is one.</summary>
    public async Task<ILocator> RowAsync(ulong session)
    {
        ILocator row = Page.Locator($"#session-rows tr[data-key='{session}']");
        await Assertions.Expect(row).ToBeVisibleAsync();
        return row;
    }

    /// <summary>Opens the memory of a session.</summary>
    public async Task SelectAsync(ulong session) => await (await RowAsync(session)).GetByRole(AriaRole.Button).ClickAsync();

    /// <summary>The browser had nothing to complain about, and asked nobody but the daemon.</summary>
    /// <param name="allowed">Beginnings of complaints that the test has caused.</param>
    public void AssertQuiet(params string[] allowed)
    {
        string[] complaints = [.. _complaints.Where(complaint => !allowed.Any(text => complaint.StartsWith(text, StringComparison.Ordinal)))];
        Assert.Empty(complaints);
        Assert.NotEmpty(_requests);
        Assert.All(_requests, url => Assert.StartsWith(_address.GetLeftPart(UriPartial.Authority) + "/", url, StringComparison.Ordinal));
    }

    /// <summary>Nothing is wider than the window.</summary>
    public async Task AssertFitsAsync()
    {
        string[] wide = await Page.EvaluateAsync<string[]>(
            """
            () => {
              const room = document.documentElement.clientWidth;
              const wide = [...document.body.querySelectorAll('*')].filter(node => {
                const box = node.getBoundingClientRect();
                return box.width > 0 && (box.right > room + 0.5 || box.left < -0.5) && !node.closest('.skip');
              });
              return [
                ...(document.scrollingElement.scrollWidth > room ? [`the page scrolls: ${document.scrollingElement.scrollWidth} in ${room}`] : []),
                ...wide.map(node => `${node.tagName}#${node.id}.${node.className}`),
              ];
            }
            """);
        Assert.Empty(wide);
    }

    /// <summary>A picture for humans.</summary>
    public async Task PictureAsync(string name)
    {
        Directory.CreateDirectory(Browser.Pictures);
        await Page.EvaluateAsync("() => scrollTo(0, 0)");
        await Page.ScreenshotAsync(new PageScreenshotOptions { Path = Path.Combine(Browser.Pictures, name + ".png"), FullPage = true });
    }

    public async ValueTask DisposeAsync() => await _context.DisposeAsync();
}
