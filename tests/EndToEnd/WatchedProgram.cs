using System.Diagnostics;
using System.Globalization;
using System.Text;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>
/// A program of ours that says in lines <c>WORD key=value ...</c> what happens to it. Its lines are kept, every wait for one has a deadline and
/// fails with the last of them, and it is killed on disposal.
/// </summary>
public abstract class WatchedProgram : IAsyncDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(120);

    private readonly string _name;
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly Task _end;

    /// <summary>Starts the program.</summary>
    /// <param name="name">What failures call it.</param>
    /// <param name="program">Its path.</param>
    /// <param name="arguments">Its arguments.</param>
    protected WatchedProgram(string name, string program, IEnumerable<string> arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        _name = name;
        _process = Process.Start(start)!;
        _end = ReadAsync();
    }

    /// <summary>Its process.</summary>
    public int Pid => _process.Id;

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>What it has said so far, standard error included.</summary>
    public string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    /// <summary>The number after <c>key=</c> in a line.</summary>
    public static long Value(string line, string key) =>
        long.Parse(line.Split(' ').First(part => part.StartsWith(key + "=", StringComparison.Ordinal))[(key.Length + 1)..], CultureInfo.InvariantCulture);

    /// <summary>Waits until it has said a line that begins with <paramref name="words"/>, and returns the last one.</summary>
    public async Task<string> AwaitLineAsync(string words)
    {
        string? line = null;
        await AwaitAsync(() => (line = LastLine(words)) is not null, $"a line \"{words}\"");
        return line!;
    }

    /// <summary>Writes a line to its standard input.</summary>
    public async Task SayAsync(string line)
    {
        await _process.StandardInput.WriteAsync($"{line}\n");
        await _process.StandardInput.FlushAsync();
    }

    /// <summary>Closes its standard input: what it holds for is over.</summary>
    public void Release() => _process.StandardInput.Close();

    /// <summary>SIGTERM: it looks at all of its memory once more and says how it went.</summary>
    public void Terminate() => Signal(Signals.Terminate);

    /// <summary>SIGKILL.</summary>
    public void Kill() => Signal(Signals.Kill);

    /// <summary>Waits for its end, which must be this one.</summary>
    public async Task EndsWithAsync(int exitCode)
    {
        int actual = await AwaitEndAsync();
        Assert.True(actual == exitCode, $"{_name} ended with {actual} and not {exitCode}: {LastLines()}");
    }

    /// <summary>Waits for its end.</summary>
    /// <returns>The exit code, 128 + N for signal N.</returns>
    public async Task<int> AwaitEndAsync()
    {
        using CancellationTokenSource patience = new(s_deadline);
        try
        {
            await _process.WaitForExitAsync(patience.Token);
            await _end.WaitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"{_name} does not end: {LastLines()}");
        }

        return _process.ExitCode;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Waits until <paramref name="key"/> in its lines <c>progress</c> is larger by so much: it is served, and not only alive.</summary>
    protected async Task AwaitProgressAsync(string key, long more)
    {
        long wanted = Progress() + more;
        await AwaitAsync(() => Progress() >= wanted, $"{key}={wanted}");

        long Progress() => LastLine("progress") is { } line ? Value(line, key) : 0;
    }

    private async Task AwaitAsync(Func<bool> condition, string what)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        long begin = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (HasExited)
                await _end.WaitAsync(s_deadline);
            if (condition())
                return;
            if (HasExited || Stopwatch.GetElapsedTime(begin) > s_deadline)
                Assert.Fail($"waited in vain for {what} of {_name}{(HasExited ? $", which has ended with {_process.ExitCode}" : "")}: {LastLines()}");
            await timer.WaitForNextTickAsync();
        }
    }

    private void Signal(int signal)
    {
        using SafePidFd? process = PidFd.TryOpen(Pid, out _);
        if (process is not null)
            _ = PidFd.SendSignal(process, signal);
    }

    private string? LastLine(string words)
    {
        string output = Output;
        return output[..(output.LastIndexOf('\n') + 1)].Split('\n').LastOrDefault(line => line == words || line.StartsWith(words + " ", StringComparison.Ordinal));
    }

    private string LastLines() => string.Join('\n', Output.Split('\n').TakeLast(8));

    private async Task ReadAsync()
    {
        Task errors = CopyAsync(_process.StandardError);
        await CopyAsync(_process.StandardOutput);
        await errors;
    }

    private async Task CopyAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            lock (_output)
                _output.Append(CultureInfo.InvariantCulture, $"{line}\n");
        }
    }
}
