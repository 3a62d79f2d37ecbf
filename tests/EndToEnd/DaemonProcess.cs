using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>
/// The built daemon as a process of its own, with a socket and a metrics port that no other test uses. Killed and cleaned up on disposal.
/// </summary>
public sealed partial class DaemonProcess : IAsyncDisposable
{
    /// <summary>
    /// Serves everybody: the policies zero (the default), zero-around, poison (client's source, poison after 500 ms), file (client's source).
    /// </summary>
    public const string DefaultConfiguration = """
        {
          "policies": {
            "zero": { "source": { "kind": "zero" } },
            "zero-around": { "source": { "kind": "zero" }, "faultAroundBytes": "64KiB" },
            "poison": { "source": { "kind": "client" }, "onUnavailable": "poison", "deadline": "500ms" },
            "file": { "source": { "kind": "client" }, "faultAroundBytes": "64KiB", "removeMeans": "source" }
          },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero", "policies": ["*"] } }
        }
        """;

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    /// <summary>The daemon that was built with the tests.</summary>
    public static string DaemonAssembly { get; } = FindDaemonAssembly();

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly Lock _waitersLock = new();
    private readonly List<(string Text, TaskCompletionSource<string> Found)> _waiters = [];
    private readonly HttpClient _http = new() { Timeout = s_deadline };

    private DaemonProcess(string directory, string socketPath, Process process)
    {
        Directory = directory;
        SocketPath = socketPath;
        _process = process;
    }

    /// <summary>The native socket.</summary>
    public string SocketPath { get; }

    /// <summary>A directory of this daemon's own that everybody may look into; deleted on disposal.</summary>
    public string Directory { get; }

    /// <summary>The configuration file; write it and call <see cref="Reload"/>.</summary>
    public string ConfigurationPath => Path.Combine(Directory, "config.json");

    /// <summary>Base of /metrics, /healthz and /readyz.</summary>
    public Uri MetricsUri { get; private set; } = new("http://127.0.0.1/");

    /// <summary>The daemon's process.</summary>
    public int Pid => _process.Id;

    /// <summary>What it has written to standard error so far.</summary>
    public IReadOnlyList<string> LogLines => [.. _lines];

    /// <summary>Starts the daemon and waits until it is ready.</summary>
    /// <param name="configuration">JSON; <see cref="DefaultConfiguration"/> if null. Socket and metrics port are set by environment.</param>
    /// <param name="environment">More environment variables; they win over the fixture's own.</param>
    /// <param name="socketPath">Where to listen, to follow another daemon; a new place if null.</param>
    /// <param name="uid">Runs it as this user, without any capability; needs root.</param>
    public static async Task<DaemonProcess> StartAsync(
        string? configuration = null, IReadOnlyDictionary<string, string>? environment = null, string? socketPath = null, uint? uid = null)
    {
        string directory = System.IO.Directory.CreateTempSubdirectory("uffd-daemon-").FullName;
        File.SetUnixFileMode(directory, (UnixFileMode)0b111_101_101);
        string socket = socketPath ?? Path.Combine(directory, "manager.sock");

        ProcessStartInfo start = new() { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true };
        string[] command = ["dotnet", DaemonAssembly, "run", "--config", Path.Combine(directory, "config.json")];
        if (uid is not null)
        {
            command = [.. AsUser(uid.Value), .. command];
            Assert.Equal(0, await RunAsync("chown", uid.Value.ToString(), directory));
        }

        start.FileName = command[0];
        foreach (string argument in command[1..])
            start.ArgumentList.Add(argument);
        start.Environment["UFFD_MANAGER__listen__socket"] = socket;
        start.Environment["UFFD_MANAGER__metrics__port"] = "0";
        start.Environment["UFFD_MANAGER__images__directory"] = Path.Combine(directory, "images");
        start.WithoutDebugging();
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;

        DaemonProcess daemon = new(directory, socket, new Process { StartInfo = start });
        await File.WriteAllTextAsync(daemon.ConfigurationPath, configuration ?? DefaultConfiguration);
        try
        {
            await daemon.LaunchAsync();
            return daemon;
        }
        catch
        {
            await daemon.DisposeAsync();
            throw;
        }
    }

    /// <summary>Whether a user can read the daemon's files, which may lie below a private home directory.</summary>
    public static async Task<bool> IsReadableByAsync(uint uid) => await RunAsync([.. AsUser(uid), "test", "-r", DaemonAssembly]) == 0;

    /// <summary>Waits for a line of the log, from the start on.</summary>
    /// <param name="text">Part of the line.</param>
    /// <param name="timeout">How long; a minute if null.</param>
    /// <exception cref="TimeoutException">It did not come.</exception>
    public async Task<string> WaitForLogAsync(string text, TimeSpan? timeout = null)
    {
        TaskCompletionSource<string> found = new(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_waitersLock)
        {
            if (_lines.FirstOrDefault(line => line.Contains(text, StringComparison.Ordinal)) is { } present)
                return present;
            _waiters.Add((text, found));
        }

        try
        {
            return await found.Task.WaitAsync(timeout ?? s_deadline);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"no line with \"{text}\" came; the log:\n{string.Join('\n', _lines)}", e);
        }
    }

    /// <summary>GET of a path below <see cref="MetricsUri"/>, whatever its status.</summary>
    public async Task<string> GetAsync(string path)
    {
        using HttpResponseMessage response = await _http.GetAsync(new Uri(MetricsUri, path));
        return await response.Content.ReadAsStringAsync();
    }

    /// <summary>Makes the daemon read its configuration again (SIGHUP).</summary>
    public void Reload() => Signal(1);

    /// <summary>Stops it gracefully (SIGTERM) and waits.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> StopAsync()
    {
        Signal(15);
        using CancellationTokenSource deadline = new(s_deadline);
        await _process.WaitForExitAsync(deadline.Token);
        return _process.ExitCode;
    }

    /// <summary>Kills it (SIGKILL) and waits until it is gone.</summary>
    public void Kill()
    {
        Signal(9);
        _process.WaitForExit();
    }

    /// <summary>Makes it stand still (SIGSTOP) until <see cref="Continue"/>; returns when no thread of it runs any more.</summary>
    public void Suspend()
    {
        Signal(19);
        Eventually.True(() => System.IO.Directory.EnumerateDirectories($"/proc/{Pid}/task").All(IsStopped), "the daemon to stand still");
    }

    /// <summary>Lets it go on (SIGCONT).</summary>
    public void Continue() => Signal(18);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_process.Id != 0 && !_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        _http.Dispose();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    // Beside the tests when built with them, else where the solution builds it.
    private static string FindDaemonAssembly()
    {
        string beside = Path.Combine(AppContext.BaseDirectory, "uffd-manager.dll");
        string built = Path.Combine(
            AppContext.BaseDirectory, "..", "..", "UffdManager.Daemon", Path.GetFileName(AppContext.BaseDirectory.TrimEnd('/')), "uffd-manager.dll");
        return File.Exists(beside) ? beside : Path.GetFullPath(built);
    }

    private static bool IsStopped(string task) =>
        File.ReadLines(Path.Combine(task, "status")).First(line => line.StartsWith("State:", StringComparison.Ordinal)).Contains("T (", StringComparison.Ordinal);

    private static string[] AsUser(uint uid) => ["setpriv", "--reuid", $"{uid}", "--regid", $"{uid}", "--clear-groups", "--bounding-set=-all"];

    private static async Task<int> RunAsync(params string[] command)
    {
        using Process process = Process.Start(command[0], command[1..]);
        await process.WaitForExitAsync();
        return process.ExitCode;
    }

    private async Task LaunchAsync()
    {
        _process.ErrorDataReceived += (_, line) => OnLine(line.Data);
        _process.OutputDataReceived += (_, line) => OnLine(line.Data);
        _process.Start();
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();

        using CancellationTokenSource over = new();
        Task exit = _process.WaitForExitAsync(over.Token);
        Task<string> ready = WaitForLogAsync("Ready: ");
        if (await Task.WhenAny(ready, exit) == exit)
            Assert.Fail($"the daemon exited with {_process.ExitCode}:\n{string.Join('\n', _lines)}");
        await over.CancelAsync();

        string line = await ready;
        if (MetricsAddress().Match(line) is { Success: true } match)
        {
            MetricsUri = new Uri(match.Value);
            Assert.StartsWith("ready", await GetAsync("readyz"), StringComparison.Ordinal);
        }
    }

    private void OnLine(string? line)
    {
        if (line is null)
            return;

        lock (_waitersLock)
        {
            _lines.Enqueue(line);
            foreach ((string text, TaskCompletionSource<string> found) in _waiters)
            {
                if (line.Contains(text, StringComparison.Ordinal))
                    found.TrySetResult(line);
            }
        }
    }

    private void Signal(int signal)
    {
        using SafePidFd process = PidFd.TryOpen(Pid, out Errno errno) ?? throw new SyscallException(errno, "pidfd_open", $"{Pid}");
        Assert.Equal(Errno.OK, PidFd.SendSignal(process, signal));
    }

    [GeneratedRegex("http://[0-9.:\\[\\]a-f]+/", RegexOptions.None, 1000)]
    private static partial Regex MetricsAddress();
}
