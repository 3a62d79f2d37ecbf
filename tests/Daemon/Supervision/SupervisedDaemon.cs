using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>The built daemon, started as a service manager starts it: with descriptors from 3 on, and a socket to tell things to.</summary>
internal sealed partial class SupervisedDaemon : IDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly Process _process;

    private SupervisedDaemon(Process process) => _process = process;

    public int Pid => _process.Id;

    public IReadOnlyList<string> Log => [.. _lines];

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    /// <summary>Starts the daemon without waiting for anything.</summary>
    /// <param name="folder">Configuration and sockets are there.</param>
    /// <param name="manager">Who starts it; null for nobody.</param>
    /// <param name="sockets">Listening sockets (socket activation), before what the service manager keeps. Borrowed.</param>
    /// <param name="environment">More variables.</param>
    public static SupervisedDaemon Start(
        SupervisedFolder folder,
        FakeServiceManager? manager,
        IReadOnlyList<(string Name, SafeFd Descriptor)>? sockets = null,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        List<(string Name, SafeFd Descriptor)> kept = manager?.Lend() ?? [];
        List<(string Name, SafeFd Descriptor)> all = [.. sockets ?? [], .. kept];
        string way = folder.NewPath();
        using SafeSocketFd listener = UnixSocket.Listen(way, UnixSocketType.SeqPacket, 1, 0b110_000_000);
        ProcessStartInfo start = new(NativeProgram.Build("with-fds.c")) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string argument in (string[])[way, "dotnet", Path.Combine(AppContext.BaseDirectory, "uffd-manager.dll"), "run", "--config", folder.Configuration])
            start.ArgumentList.Add(argument);
        start.Environment["UFFD_MANAGER__listen__socket"] = folder.Socket;
        start.Environment["UFFD_MANAGER__metrics__port"] = "0";
        start.Environment["UFFD_MANAGER__control__socket"] = folder.Control;
        start.WithoutDebugging();
        if (all.Count > 0)
        {
            start.Environment["LISTEN_FDS"] = $"{all.Count}";
            start.Environment["LISTEN_FDNAMES"] = string.Join(':', all.Select(passed => passed.Name));
        }

        if (manager is not null)
            start.Environment["NOTIFY_SOCKET"] = manager.Address;
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;

        SupervisedDaemon daemon = new(new Process { StartInfo = start });
        daemon._process.ErrorDataReceived += (_, line) => daemon.OnLine(line.Data);
        daemon._process.OutputDataReceived += (_, line) => daemon.OnLine(line.Data);
        daemon._process.Start();
        daemon._process.BeginErrorReadLine();
        daemon._process.BeginOutputReadLine();
        Pass(listener, all.ConvertAll(passed => passed.Descriptor));
        kept.ForEach(passed => passed.Descriptor.Dispose());
        return daemon;
    }

    /// <summary>Starts the daemon and waits until it is ready.</summary>
    public static SupervisedDaemon StartReady(
        SupervisedFolder folder,
        FakeServiceManager? manager,
        IReadOnlyList<(string Name, SafeFd Descriptor)>? sockets = null,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        SupervisedDaemon daemon = Start(folder, manager, sockets, environment);
        try
        {
            daemon.WaitForLog("Ready: ");
            return daemon;
        }
        catch
        {
            daemon.Dispose();
            throw;
        }
    }

    /// <summary>Waits for a line of the log, from the start on.</summary>
    public string WaitForLog(string text)
    {
        string? found = null;
        Eventually.True(
            () => (found = _lines.FirstOrDefault(line => line.Contains(text, StringComparison.Ordinal))) is not null || _process.HasExited, s_deadline, text);

        // The pipe may have more than the process's end told.
        if (found is null)
            _process.WaitForExit();
        found ??= _lines.FirstOrDefault(line => line.Contains(text, StringComparison.Ordinal));
        Assert.True(found is not null, $"no line with \"{text}\" came; the log:\n{string.Join('\n', _lines)}");
        return found;
    }

    /// <summary>GET of a path of the metrics port.</summary>
    public async Task<string> GetAsync(string path)
    {
        using HttpClient http = new() { Timeout = s_deadline };
        return await http.GetStringAsync(new Uri(new Uri(Address().Match(WaitForLog("Ready: ")).Value), path));
    }

    /// <summary>Ends it by a signal and waits.</summary>
    /// <returns>The exit code, and how long it took.</returns>
    public (int ExitCode, TimeSpan Time) End(int signal)
    {
        long began = Stopwatch.GetTimestamp();
        using (SafePidFd process = OpenProcess())
        {
            Assert.Equal(Errno.OK, PidFd.SendSignal(process, signal));
            Assert.True(PidFd.WaitForExit(process, s_deadline), $"the daemon does not end; the log:\n{string.Join('\n', _lines)}");
        }

        TimeSpan time = Stopwatch.GetElapsedTime(began);
        _process.WaitForExit();
        return (_process.ExitCode, time);
    }

    /// <summary>Sends it a signal and does not wait.</summary>
    public void Signal(int signal)
    {
        using SafePidFd process = OpenProcess();
        Assert.Equal(Errno.OK, PidFd.SendSignal(process, signal));
    }

    /// <summary>Waits for it to end by itself.</summary>
    public int WaitForExit()
    {
        Assert.True(_process.WaitForExit(s_deadline), $"the daemon does not end; the log:\n{string.Join('\n', _lines)}");
        _process.WaitForExit();
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.WaitForExit();
        _process.Dispose();
    }

    private SafePidFd OpenProcess() => PidFd.TryOpen(Pid, out Errno errno) ?? throw new SyscallException(errno, "pidfd_open", $"{Pid}");

    private static void Pass(SafeSocketFd listener, List<SafeFd> descriptors)
    {
        using FdLease lease = listener.Lease();
        Assert.True(FdPoll.WaitReadable(lease, s_deadline), "with-fds does not come");
        using SafeSocketFd way = UnixSocket.TryAccept(listener, out Errno errno) ?? throw new SyscallException(errno, "accept", "with-fds");
        foreach (SafeFd[] some in descriptors.Chunk(UnixSocket.MaxDescriptors))
            Assert.Equal(Errno.OK, UnixSocket.Send(way, "+"u8, some, dontWait: false));
        Assert.Equal(Errno.OK, UnixSocket.Send(way, "\n"u8, [], dontWait: false));
    }

    private void OnLine(string? line)
    {
        if (line is not null)
            _lines.Enqueue(line);
    }

    [GeneratedRegex("http://[0-9.:]+/", RegexOptions.None, 1000)]
    private static partial Regex Address();
}
