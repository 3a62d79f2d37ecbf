using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace UffdManager.TestSupport;

/// <summary>
/// A real Prometheus that scrapes one target twice a second, on a loopback port of its own, with its data in a temporary directory. It asks
/// for OpenMetrics, so a target that it calls up has written that format without a flaw.
/// </summary>
public sealed partial class PrometheusProcess : IAsyncDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(30);

    private readonly Process _process;
    private readonly TempDirectory _directory;
    private readonly StringBuilder _log;
    private readonly HttpClient _http = new();

    private PrometheusProcess(Process process, TempDirectory directory, StringBuilder log)
    {
        _process = process;
        _directory = directory;
        _log = log;
    }

    /// <summary>Starts it and waits until it has scraped the target at least once.</summary>
    /// <param name="target">Base URL of the target; its path is <c>/metrics</c>.</param>
    public static async Task<PrometheusProcess> StartAsync(Uri target)
    {
        Require.That(Installed("prometheus"), "needs the Debian package prometheus");
        TempDirectory directory = new();
        string configuration = directory.WriteFile("prometheus.yml", Encoding.UTF8.GetBytes(
            $"""
            global:
              scrape_interval: 500ms
              scrape_timeout: 500ms
            scrape_configs:
              - job_name: uffd-manager
                static_configs:
                  - targets: ["{target.Authority}"]
            """));
        ProcessStartInfo start = new("prometheus")
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
            ArgumentList =
            {
                $"--config.file={configuration}",
                $"--storage.tsdb.path={directory.Combine("data")}",
                "--web.listen-address=127.0.0.1:0",
                "--query.lookback-delta=5s",
            },
        };
        Process process = Process.Start(start) ?? throw new InvalidOperationException("prometheus did not start");
        StringBuilder log = new();
        TaskCompletionSource<Uri> address = new(TaskCreationOptions.RunContinuationsAsynchronously);
        void Keep(object sender, DataReceivedEventArgs line)
        {
            lock (log)
                log.AppendLine(line.Data);
            if (ListeningOn().Match(line.Data ?? "") is { Success: true } match)
                address.TrySetResult(new Uri($"http://{match.Groups["address"].Value}/"));
        }

        process.ErrorDataReceived += Keep;
        process.OutputDataReceived += Keep;
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();

        PrometheusProcess prometheus = new(process, directory, log);
        try
        {
            prometheus._http.BaseAddress = await address.Task.WaitAsync(s_deadline);
            await prometheus.UntilAsync("up", value => value == 1);
            return prometheus;
        }
        catch (TimeoutException e)
        {
            await prometheus.DisposeAsync();
            throw new TimeoutException($"Prometheus does not listen:\n{log}", e);
        }
        catch
        {
            await prometheus.DisposeAsync();
            throw;
        }
    }

    /// <summary>Whether a program is on the PATH.</summary>
    public static bool Installed(string program) => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
        .Any(folder => File.Exists(Path.Combine(folder, program)));

    /// <summary>Runs <c>promtool check metrics</c> on a text and returns what it complains of; empty = clean.</summary>
    public static async Task<string> LintAsync(string prometheusText)
    {
        Require.That(Installed("promtool"), "needs the Debian package prometheus (promtool)");
        using Process process = Process.Start(new ProcessStartInfo("promtool", ["check", "metrics"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        }) ?? throw new InvalidOperationException("promtool did not start");
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        await process.StandardInput.WriteAsync(prometheusText);
        process.StandardInput.Close();
        await process.WaitForExitAsync();
        string complaints = await output + await errors;
        return process.ExitCode == 0 || complaints.Length > 0 ? complaints : $"promtool exited with {process.ExitCode}";
    }

    /// <summary>An instant query through the HTTP API; the first series' value, or null when there is none.</summary>
    public async Task<double?> QueryAsync(string query)
    {
        using JsonDocument answer = JsonDocument.Parse(await _http.GetStringAsync($"api/v1/query?query={Uri.EscapeDataString(query)}"));
        JsonElement result = answer.RootElement.GetProperty("data").GetProperty("result");
        return result.GetArrayLength() == 0
            ? null
            : double.Parse(result[0].GetProperty("value")[1].GetString()!, CultureInfo.InvariantCulture);
    }

    /// <summary>Repeats a query until its value is right, and returns that value; fails with Prometheus' log at the deadline.</summary>
    public async Task<double> UntilAsync(string query, Func<double, bool> isRight)
    {
        long begin = Stopwatch.GetTimestamp();
        double? last = null;
        string error = "";
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(100));
        while (Stopwatch.GetElapsedTime(begin) < s_deadline && !_process.HasExited)
        {
            try
            {
                last = await QueryAsync(query);
                if (last is { } value && isRight(value))
                    return value;
            }
            catch (HttpRequestException e)
            {
                error = e.Message;
            }

            await timer.WaitForNextTickAsync();
        }

        lock (_log)
            Assert.Fail($"{query} is {last?.ToString(CultureInfo.InvariantCulture) ?? "without a value"} {error}\n{_log}");
        return default;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _http.Dispose();
        _directory.Dispose();
    }

    [GeneratedRegex("msg=\"Listening on\" address=(?<address>[0-9.:]+)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex ListeningOn();
}
