using System.Diagnostics;
using System.Globalization;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>A daemon that serves memory files, each at a socket of its own.</summary>
internal sealed class SnapshotDaemon : IAsyncDisposable
{
    private readonly TempDirectory _directory;

    private SnapshotDaemon(TempDirectory directory, DaemonProcess process)
    {
        _directory = directory;
        Process = process;
    }

    public DaemonProcess Process { get; }

    /// <summary>Where the first image is served.</summary>
    public string Socket => SocketOf(0);

    public static Task<SnapshotDaemon> StartAsync(string image, object? policy = null) => StartAsync([image], policy);

    public static async Task<SnapshotDaemon> StartAsync(IReadOnlyList<string> images, object? policy = null, string folder = "")
    {
        TempDirectory directory = new();
        try
        {
            string place = Directory.CreateDirectory(directory.Combine(folder)).FullName;
            DaemonProcess process = await DaemonProcess.StartAsync(
                SnapshotConfiguration.For([.. images.Select((image, i) => (image, Path.Combine(place, $"snapshot{i}.sock")))], policy),
                new Dictionary<string, string> { ["UFFD_MANAGER__control__socket"] = directory.Combine("control.sock") });
            for (int i = 0; i < images.Count; i++)
                await process.WaitForLogAsync($"snapshot{i}.sock");
            return new SnapshotDaemon(directory, process);
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>Where an image is served.</summary>
    public string SocketOf(int image, string folder = "") => _directory.Combine(folder, $"snapshot{image}.sock");

    /// <summary>Sum over all series of a metric whose labels contain a text.</summary>
    public async Task<double> MetricAsync(string name, string label = "")
    {
        string text = await Process.GetAsync("metrics");
        return text.Split('\n')
            .Where(line => line.StartsWith(name + "{", StringComparison.Ordinal) || line.StartsWith(name + " ", StringComparison.Ordinal))
            .Where(line => line.Contains(label, StringComparison.Ordinal))
            .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    /// <summary>Waits until a metric has a value.</summary>
    public async Task AwaitMetricAsync(string name, Func<double, bool> holds, string label = "")
    {
        long begin = Stopwatch.GetTimestamp();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        double value;
        while (!holds(value = await MetricAsync(name, label)))
        {
            Assert.True(Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(30), $"{name} stays {value}:\n{Log}");
            await timer.WaitForNextTickAsync();
        }
    }

    /// <summary>Waits until nothing is left of any VM.</summary>
    public Task AwaitNoSessionsAsync() => AwaitMetricAsync("uffd_manager_sessions", value => value == 0);

    /// <summary>For the message of a failed test.</summary>
    public string Log => string.Join('\n', Process.LogLines);

    public async ValueTask DisposeAsync()
    {
        await Process.DisposeAsync();
        _directory.Dispose();
    }
}
