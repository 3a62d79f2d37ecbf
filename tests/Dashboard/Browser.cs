using Microsoft.Playwright;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Dashboard.Tests;

/// <summary>Chromium without a screen, for all tests; each page has a profile of its own.</summary>
public sealed class Browser : IAsyncLifetime
{
    public const string Collection = "One browser";

    private static readonly string? s_executable =
        new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);

    private IPlaywright? _playwright;
    private IBrowser? _browser;

    /// <summary>Where pictures for humans go.</summary>
    public static string Pictures { get; } = Path.Combine(NativeProgram.RepositoryRoot, "artifacts", "dashboard");

    public async Task InitializeAsync()
    {
        // Without one, the tests say so; a fixture cannot be skipped.
        if (s_executable is null)
            return;

        Assertions.SetDefaultExpectTimeout(60_000);
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new BrowserTypeLaunchOptions
        {
            ExecutablePath = s_executable,
            Timeout = 120_000,

            // Chromium's own sandbox refuses root. The pages are ours.
            Args = Environment.IsPrivilegedProcess ? ["--no-sandbox"] : [],
        });
    }

    public async Task DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
    }

    /// <summary>Opens the dashboard and waits for its first data.</summary>
    /// <param name="address">Of the metrics port.</param>
    /// <param name="width">Of the window, CSS pixels.</param>
    /// <param name="scheme">Light or dark.</param>
    public async Task<DashboardPage> OpenAsync(Uri address, int width = 1280, ColorScheme scheme = ColorScheme.Light)
    {
        IBrowserContext context = await _browser!.NewContextAsync(new BrowserNewContextOptions
        {
            ViewportSize = new ViewportSize { Width = width, Height = 900 },
            ColorScheme = scheme,
        });
        context.SetDefaultTimeout(60_000);
        DashboardPage page = new(context, await context.NewPageAsync());
        await page.GoAsync(address);
        return page;
    }

    /// <summary>What every test here needs.</summary>
    public static void Require()
    {
        TestSupport.Require.Root();
        TestSupport.Require.That(s_executable is not null, "needs Chromium: apt-get install chromium");
    }
}

/// <summary>Tests that share one <see cref="Browser"/>.</summary>
[CollectionDefinition(Browser.Collection)]
public sealed class BrowserCollection : ICollectionFixture<Browser>;
