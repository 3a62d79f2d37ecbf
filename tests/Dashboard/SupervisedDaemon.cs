using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Dashboard.Tests;

/// <summary>The daemon under uffd-supervise, always at the same port: what a page sees across restarts.</summary>
internal sealed class SupervisedDaemon : IAsyncDisposable
{
    private const int RestartDaemon = 12;

    private readonly TempDirectory _directory = new();
    private readonly ConcurrentQueue<string> _log = new();
    private readonly Process _supervisor;

    private SupervisedDaemon(Process supervisor, int port)
    {
        _supervisor = supervisor;
        Address = new Uri($"http://127.0.0.1:{port}/");
    }

    /// <summary>Of the metrics port.</summary>
    public Uri Address { get; }

    /// <summary>The native socket.</summary>
    public string SocketPath => _directory.Combine("manager.sock");

    /// <summary>Starts both and waits until the daemon is ready.</summary>
    public static async Task<SupervisedDaemon> StartAsync()
    {
        string native = Environment.GetEnvironmentVariable("UFFD_NATIVE_DIR") ?? Path.Combine(NativeProgram.RepositoryRoot, "artifacts", "native");
        ProcessStartInfo start = new(Path.Combine(native, "uffd-supervise"))
        {
            UseShellExecute = false,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        int port = FreePort();
        SupervisedDaemon daemon = new(new Process { StartInfo = start }, port);
        string configuration = daemon._directory.WriteFile("config.json", System.Text.Encoding.UTF8.GetBytes(DaemonProcess.DefaultConfiguration));
        string[] arguments = [$"--listen=native:seqpacket:{daemon.SocketPath}:0600", "--backoff-max=0", "--", "dotnet", DaemonProcess.DaemonAssembly, "run", "--config", configuration];
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        start.Environment["UFFD_MANAGER__listen__socket"] = daemon.SocketPath;
        start.Environment["UFFD_MANAGER__control__socket"] = daemon._directory.Combine("control.sock");
        start.Environment["UFFD_MANAGER__metrics__port"] = port.ToString(CultureInfo.InvariantCulture);
        start.WithoutDebugging();
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

    /// <summary>Kills the daemon (SIGKILL); the supervisor starts the next one.</summary>
    public void Kill() => Signal(FindDaemon() ?? throw new InvalidOperationException("there is no daemon to kill"), Signals.Kill);

    /// <summary>Has the daemon hand over to the next one (SIGUSR2 to the supervisor).</summary>
    public void HandOver() => Signal(_supervisor.Id, RestartDaemon);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // The supervisor first: it would start another one.
        if (_supervisor.Id != 0 && !_supervisor.HasExited)
        {
            int? daemon = FindDaemon();
            _supervisor.Kill();
            if (daemon is { } pid)
                Signal(pid, Signals.Kill);
            await _supervisor.WaitForExitAsync();
        }

        _supervisor.Dispose();
        _directory.Dispose();
    }

    private async Task LaunchAsync()
    {
        TaskCompletionSource ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
        void OnLine(object sender, DataReceivedEventArgs line)
        {
            _log.Enqueue(line.Data ?? "");
            if (line.Data?.Contains("Ready: ", StringComparison.Ordinal) == true)
                ready.TrySetResult();
        }

        _supervisor.ErrorDataReceived += OnLine;
        _supervisor.OutputDataReceived += OnLine;
        _supervisor.Start();
        _supervisor.BeginErrorReadLine();
        _supervisor.BeginOutputReadLine();
        try
        {
            await ready.Task.WaitAsync(TimeSpan.FromSeconds(60));
        }
        catch (TimeoutException)
        {
            Assert.Fail($"the daemon does not become ready:\n{string.Join('\n', _log)}");
        }
    }

    private int? FindDaemon()
    {
        string children = File.ReadAllText($"/proc/{_supervisor.Id}/task/{_supervisor.Id}/children");
        string? first = children.Split(' ', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault();
        return first is null ? null : int.Parse(first, CultureInfo.InvariantCulture);
    }

    private static void Signal(int pid, int signal)
    {
        using SafePidFd? process = PidFd.TryOpen(pid, out _);
        if (process is not null)
            _ = PidFd.SendSignal(process, signal);
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
