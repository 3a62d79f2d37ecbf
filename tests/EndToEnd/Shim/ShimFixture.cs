using System.Globalization;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>The real daemon and the real shim, for all tests of a class.</summary>
public sealed class ShimFixture : IAsyncLifetime
{
    private const string Configuration = """
        {
          "listen": { "mode": "0666" },
          "policies": {
            "zero": { "source": { "kind": "zero" } },
            "around": { "source": { "kind": "zero" }, "faultAroundBytes": "64KiB" }
          },
          "tenants": {
            "default": { "default": true, "defaultPolicy": "zero", "policies": ["*"] }
          }
        }
        """;

    private DaemonProcess? _daemon;

    public static string NativeDirectory { get; } =
        Environment.GetEnvironmentVariable("UFFD_NATIVE_DIR") ?? Path.Combine(NativeProgram.RepositoryRoot, "artifacts", "native");

    public static string Launcher => Path.Combine(NativeDirectory, "uffd-run");

    public static string Probe => Path.Combine(NativeDirectory, "tests", "shim", "probe");

    public static string Torture => Path.Combine(NativeDirectory, "tests", "shim", "torture");

    /// <summary>Readable for every user, as a program of another user must be able to load the shim and to reach the socket.</summary>
    public TempDirectory Directory { get; } = new();

    public string SocketPath => Path.Combine(Directory.Path, "manager.sock");

    public async Task InitializeAsync()
    {
        Require.Root();
        File.SetUnixFileMode(Directory.Path, (UnixFileMode)0b111_101_101);
        await StartDaemonAsync();
    }

    public async Task DisposeAsync()
    {
        if (_daemon is not null)
            await _daemon.DisposeAsync();
        Directory.Dispose();
    }

    public async Task StartDaemonAsync() => _daemon = await DaemonProcess.StartAsync(Configuration, socketPath: SocketPath);

    public void KillDaemon() => _daemon!.Kill();

    public async Task StopDaemonAsync() => Assert.Equal(0, await _daemon!.StopAsync());

    /// <summary>Sum over all label values of a metric.</summary>
    public async Task<double> MetricAsync(string name, string label = "")
    {
        string text = await _daemon!.GetAsync("/metrics");
        return text.Split('\n')
            .Where(line => line.StartsWith(name + "{", StringComparison.Ordinal) && line.Contains(label, StringComparison.Ordinal))
            .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    public Task<double> FaultsAsync() => MetricAsync("uffd_manager_faults_total");

    /// <summary>Starts a program under the shim; it is an error there if it cannot be managed.</summary>
    public RunningProgram Start(string file, string[] arguments, string[]? options = null, string? directory = null) =>
        RunningProgram.Start(Launcher, [$"--socket={SocketPath}", "--require", .. options ?? [], "--", file, .. arguments], directory);

    /// <summary>
    /// Runs a program without and with the shim: exit code, output and messages must be the same, and at least
    /// <paramref name="minimumFaults"/> of its page faults must have been resolved by the daemon.
    /// </summary>
    public async Task<ProgramResult> AssertAlikeAsync(
        string file, string[] arguments, int minimumFaults, string[]? options = null, Action? between = null, string? directory = null)
    {
        using RunningProgram native = RunningProgram.Start(file, arguments, directory);
        ProgramResult expected = await native.FinishAsync();
        between?.Invoke();
        double before = await FaultsAsync();
        int told = _daemon!.LogLines.Count;
        using RunningProgram managed = Start(file, arguments, options, directory);
        ProgramResult actual = await managed.FinishAsync();
        if (actual != expected)
            Assert.Fail($"{actual.DifferenceFrom(expected)}\nthe daemon said of it:\n{await LogOfAsync(managed.Pid, told)}");
        await AssertFaultsAsync(before, minimumFaults);
        return actual;
    }

    // The last that the daemon has said of a program and of those whom it has forked, since so many lines; the end of a session is told when its process is gone.
    private async Task<string> LogOfAsync(int pid, int since)
    {
        try
        {
            await _daemon!.WaitForLogAsync($" of pid {pid} ended", TimeSpan.FromSeconds(5));
        }
        catch (TimeoutException)
        {
        }

        string[] lines = [.. _daemon!.LogLines.Skip(since)];
        string[] its = [.. lines.Where(line => line.Contains($"pid {pid} ", StringComparison.Ordinal) || line.Contains($"pid {pid},", StringComparison.Ordinal))];
        string[] alarming = [.. lines.Where(line => !line.Contains(" info: ", StringComparison.Ordinal))];
        return string.Join('\n', its.TakeLast(3).Concat(alarming.TakeLast(3)).Distinct());
    }

    /// <summary>No test passes unmanaged: the daemon's own counters must have moved.</summary>
    public async Task AssertFaultsAsync(double before, int minimum)
    {
        double faults = await FaultsAsync() - before;
        Assert.True(faults >= minimum, $"The daemon resolved {faults} faults, at least {minimum} were expected");
    }
}
