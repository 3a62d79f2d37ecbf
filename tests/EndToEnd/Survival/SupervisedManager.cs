using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>
/// The daemon under uffd-supervise, which keeps its descriptors and starts it again whenever it dies. One life of the daemon after the
/// other; all of them write to one log.
/// </summary>
public sealed partial class SupervisedManager : IAsyncDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly HttpClient _http = new() { Timeout = s_deadline };
    private readonly TempDirectory _directory = new();
    private int _lives;
    private Uri? _metrics;

    private SupervisedManager(Process process) => _process = process;

    /// <summary>The native socket; somebody listens whether the daemon lives or not.</summary>
    public string SocketPath => _directory.Combine("manager.sock");

    /// <summary>A directory of this manager's own; deleted on disposal.</summary>
    public string Directory => _directory.Path;

    /// <summary>uffd-supervise.</summary>
    public int SupervisorPid => _process.Id;

    /// <summary>How many daemons have become ready so far.</summary>
    public int Lives => Volatile.Read(ref _lives);

    /// <summary>Everything that supervisor and daemons have written so far.</summary>
    public IReadOnlyList<string> LogLines => [.. _lines];

    /// <summary>Starts both and waits until the daemon is ready.</summary>
    public static async Task<SupervisedManager> StartAsync(SupervisedOptions? options = null)
    {
        options ??= new SupervisedOptions();
        ProcessStartInfo start = new(SurvivalSource.Supervisor)
        {
            UseShellExecute = false,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        SupervisedManager manager = new(new Process { StartInfo = start });
        string configuration = manager._directory.WriteFile("config.json", System.Text.Encoding.UTF8.GetBytes(options.Configuration));
        File.SetUnixFileMode(manager.Directory, (UnixFileMode)0b111_101_101);
        string[] command = options.Daemon ?? ["dotnet", DaemonProcess.DaemonAssembly];
        string[] arguments =
        [
            $"--listen=native:seqpacket:{manager.SocketPath}:0666", "--backoff-max=0", .. options.Supervise, "--",
            .. options.Wrapper, .. command, "run", "--config", configuration,
        ];
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        start.Environment["UFFD_MANAGER__listen__socket"] = manager.SocketPath;
        start.Environment["UFFD_MANAGER__metrics__port"] = "0";
        start.Environment["UFFD_MANAGER__images__directory"] = manager._directory.Combine("images");
        start.Environment["UFFD_MANAGER__control__socket"] = manager._directory.Combine("control.sock");
        start.WithoutDebugging();
        foreach ((string name, string value) in options.Environment)
            start.Environment[name] = value;
        try
        {
            manager.Launch();
            await manager.AwaitLivesAsync(1);
            return manager;
        }
        catch
        {
            await manager.DisposeAsync();
            throw;
        }
    }

    /// <summary>The daemon that lives at this moment, or null between two lives.</summary>
    public int? FindDaemon()
    {
        string children = File.ReadAllText($"/proc/{SupervisorPid}/task/{SupervisorPid}/children");
        string? first = children.Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return first is null ? null : int.Parse(first, CultureInfo.InvariantCulture);
    }

    /// <summary>Kills the daemon that lives at this moment (SIGKILL); false between two lives.</summary>
    public bool Kill()
    {
        if (FindDaemon() is not { } pid || PidFd.TryOpen(pid, out _) is not { } daemon)
            return false;
        using (daemon)
            return PidFd.SendSignal(daemon, Signals.Kill) == Errno.OK;
    }

    /// <summary>Kills the daemon and waits for its ready successor.</summary>
    /// <returns>How long there was none.</returns>
    public async Task<TimeSpan> KillAndAwaitSuccessorAsync()
    {
        int lives = Lives;
        long begin = Stopwatch.GetTimestamp();
        Assert.True(Kill(), "there is no daemon to kill");
        await AwaitLivesAsync(lives + 1);
        return Stopwatch.GetElapsedTime(begin);
    }

    /// <summary>Restarts the daemon in order: SIGUSR2 to the supervisor, a hand-over.</summary>
    /// <returns>How long it took until the successor was ready.</returns>
    public async Task<TimeSpan> HandOverAsync()
    {
        int lives = Lives;
        long begin = Stopwatch.GetTimestamp();
        SignalSupervisor(12);
        await AwaitLivesAsync(lives + 1);
        return Stopwatch.GetElapsedTime(begin);
    }

    /// <summary>Waits until so many daemons have become ready since the start.</summary>
    public Task AwaitLivesAsync(int lives) => AwaitAsync(() => Lives >= lives, $"life {lives} of the daemon");

    /// <summary>Waits for a line of the log.</summary>
    public async Task<string> WaitForLogAsync(string pattern, TimeSpan? timeout = null)
    {
        Regex regex = new(pattern, RegexOptions.None, TimeSpan.FromSeconds(1));
        string? found = null;
        await AwaitAsync(() => (found = _lines.FirstOrDefault(line => regex.IsMatch(line))) is not null, $"a line that matches \"{pattern}\"", timeout);
        return found!;
    }

    /// <summary>Sum over all label values of a metric of the daemon that lives.</summary>
    public async Task<double> MetricAsync(string name)
    {
        string text = await _http.GetStringAsync(new Uri(_metrics!, "metrics"));
        return text.Split('\n')
            .Where(line => line.StartsWith(name + "{", StringComparison.Ordinal) || line.StartsWith(name + " ", StringComparison.Ordinal))
            .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    /// <summary>What the daemon that lives says of itself.</summary>
    public async Task<string> VersionAsync()
    {
        string text = await _http.GetStringAsync(new Uri(_metrics!, "metrics"));
        return text.Split('\n').First(line => line.StartsWith("uffd_manager_build_info{", StringComparison.Ordinal));
    }

    /// <summary>Stops everything in order.</summary>
    /// <returns>The supervisor's exit code.</returns>
    public async Task<int> StopAsync()
    {
        SignalSupervisor(Signals.Terminate);
        using CancellationTokenSource deadline = new(s_deadline);
        await _process.WaitForExitAsync(deadline.Token);
        return _process.ExitCode;
    }

    /// <summary>Nothing in the log speaks of a crash that the test did not cause.</summary>
    /// <param name="sessionsFail">Whether the test makes sessions fail, which is logged as an error.</param>
    public void AssertNoAccident(bool sessionsFail = false)
    {
        string[] signs = ["Unhandled exception", "Process terminated", "crit:", .. sessionsFail ? (string[])[] : ["fail:"]];
        string[] accidents = [.. _lines.Where(line => signs.Any(sign => line.Contains(sign, StringComparison.Ordinal)))];
        Assert.True(accidents.Length == 0, string.Join('\n', accidents));
    }

    /// <summary>The log, for the message of a failed test.</summary>
    public override string ToString() => string.Join('\n', _lines.TakeLast(80));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_process.Id != 0 && !_process.HasExited)
        {
            // The supervisor first: it would start another one. The end of its output comes only with the end of the daemon.
            int? daemon = FindDaemon();
            _process.Kill();
            if (daemon is { } pid && PidFd.TryOpen(pid, out _) is { } orphan)
            {
                using (orphan)
                    _ = PidFd.SendSignal(orphan, Signals.Kill);
            }

            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        _http.Dispose();
        _directory.Dispose();
    }

    private void Launch()
    {
        _process.ErrorDataReceived += (_, line) => OnLine(line.Data);
        _process.OutputDataReceived += (_, line) => OnLine(line.Data);
        _process.Start();
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
    }

    private void OnLine(string? line)
    {
        if (line is null)
            return;
        _lines.Enqueue(line);
        if (!line.Contains("Ready: ", StringComparison.Ordinal))
            return;
        if (MetricsAddress().Match(line) is { Success: true } match)
            _metrics = new Uri(match.Value);
        Interlocked.Increment(ref _lives);
    }

    /// <summary>Waits for what the manager, or a client of it, will bring about; fails with the log when it does not.</summary>
    public async Task AwaitAsync(Func<bool> condition, string what, TimeSpan? timeout = null)
    {
        long begin = Stopwatch.GetTimestamp();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        while (!condition())
        {
            if (_process.HasExited)
                Assert.Fail($"the supervisor has ended with {_process.ExitCode}:\n{this}");
            if (Stopwatch.GetElapsedTime(begin) > (timeout ?? s_deadline))
                Assert.Fail($"waited in vain for {what}; the log:\n{this}");
            await timer.WaitForNextTickAsync();
        }
    }

    private void SignalSupervisor(int signal)
    {
        using SafePidFd process = PidFd.TryOpen(SupervisorPid, out Errno errno) ?? throw new SyscallException(errno, "pidfd_open", $"{SupervisorPid}");
        Assert.Equal(Errno.OK, PidFd.SendSignal(process, signal));
    }

    [GeneratedRegex("http://[0-9.:\\[\\]a-f]+/", RegexOptions.None, 1000)]
    private static partial Regex MetricsAddress();
}
