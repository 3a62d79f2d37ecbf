using System.Diagnostics;
using System.Globalization;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>Processes with a session each, which touch a new page when they are told to: <c>uffd-survival-client crowd</c>.</summary>
public sealed class CrowdClient : IAsyncDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(120);
    private readonly Process _process;

    private CrowdClient(Process process) => _process = process;

    /// <summary>Starts the crowd and waits until each has its session.</summary>
    public static async Task<CrowdClient> StartAsync(string socket, string source, int count)
    {
        ProcessStartInfo start = new(
            SurvivalSource.Client,
            ["crowd", "--socket", socket, "--source", source, "--count", $"{count}", "--parallel", "8", "--pages", "256"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        CrowdClient crowd = new(Process.Start(start)!);
        Assert.StartsWith("ready ", await crowd.ReadLineAsync(), StringComparison.Ordinal);
        return crowd;
    }

    /// <summary>Lets each touch a new page, and waits until all have.</summary>
    /// <returns>When the first and the last was served, as of <see cref="MonotonicClock"/>.</returns>
    public async Task<(long First, long Last)> TouchAsync()
    {
        await _process.StandardInput.WriteLineAsync("touch");
        await _process.StandardInput.FlushAsync();
        string line = await ReadLineAsync();
        Assert.StartsWith("touched ", line, StringComparison.Ordinal);
        string[] words = line.Split(' ');
        return (Number("first_ns="), Number("last_ns="));

        long Number(string name) => long.Parse(words.First(word => word.StartsWith(name, StringComparison.Ordinal))[name.Length..], CultureInfo.InvariantCulture);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private async Task<string> ReadLineAsync() => await _process.StandardOutput.ReadLineAsync().WaitAsync(s_deadline) ?? "the crowd has ended";
}
