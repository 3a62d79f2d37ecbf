using System.Diagnostics;
using System.Globalization;
using System.Text;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>
/// One run of uffd-firecracker or uffd-microguest: a VMM that knows every byte that its guest's memory must hold. Killed on disposal.
/// </summary>
public sealed class Emulator : IAsyncDisposable
{
    /// <summary>Exit code: every byte was right.</summary>
    public const int Right = 0;

    /// <summary>Exit code: what cannot be served was served, rightly.</summary>
    public const int Served = 2;

    /// <summary>Exit code: it was neither served nor ended.</summary>
    public const int Frozen = 3;

    /// <summary>Exit code: the manager hung up before it had anything.</summary>
    public const int Refused = 4;

    /// <summary>Exit code: a page is poisoned.</summary>
    public const int Poisoned = 5;

    /// <summary>Exit code: this machine cannot run it.</summary>
    public const int Unable = 71;

    /// <summary>Exit code of a process that was killed.</summary>
    public const int Killed = 128 + 9;

    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(120);

    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly Task _end;

    private Emulator(Process process)
    {
        _process = process;
        _end = ReadAsync();
    }

    public int Pid => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What it has said so far.</summary>
    public string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    /// <summary>Starts uffd-firecracker; options are those of the program.</summary>
    public static Emulator Start(string mode, string socket, string image, params string[] options) =>
        StartProgram(SnapshotImages.Emulator, [.. mode.Split(' '), "--socket", socket, "--image", image, "--patience", "30", .. options]);

    /// <summary>Starts uffd-microguest.</summary>
    public static Emulator StartMicroguest(string socket, string image, params string[] options) =>
        StartProgram(SnapshotImages.Microguest, ["run", "--socket", socket, "--image", image, "--patience", "30", .. options]);

    /// <summary>Waits until it has said a line that begins with a word, and returns the last one.</summary>
    public async Task<string> AwaitLineAsync(string word)
    {
        string? line = null;
        await AwaitAsync(() => (line = LastLine(word)) is not null, $"a line \"{word}\"");
        return line!;
    }

    /// <summary>Waits until its guest has read some more pages: it is served, and not only alive.</summary>
    public async Task AwaitProgressAsync(long reads = 100)
    {
        long wanted = Reads() + reads;
        await AwaitAsync(() => Reads() >= wanted, $"{wanted} reads");

        long Reads() => LastLine("progress") is { } line ? Value(line, "reads") : 0;
    }

    /// <summary>The number after <c>key=</c> in a line.</summary>
    public static long Value(string line, string key) =>
        long.Parse(line.Split(' ').First(part => part.StartsWith(key + "=", StringComparison.Ordinal))[(key.Length + 1)..], CultureInfo.InvariantCulture);

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
        Assert.True(actual == exitCode, $"the emulator ended with {actual} and not {exitCode}: {LastLines()}");
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
            Assert.Fail($"the emulator does not end: {LastLines()}");
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
    }

    private static Emulator StartProgram(string program, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        return new Emulator(Process.Start(start)!);
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
                Assert.Fail($"waited in vain for {what} of the emulator: {LastLines()}");
            await timer.WaitForNextTickAsync();
        }
    }

    private void Signal(int signal)
    {
        using SafePidFd? process = PidFd.TryOpen(Pid, out _);
        if (process is not null)
            _ = PidFd.SendSignal(process, signal);
    }

    private string? LastLine(string word)
    {
        string output = Output;
        return output[..(output.LastIndexOf('\n') + 1)].Split('\n').LastOrDefault(line => line == word || line.StartsWith(word + " ", StringComparison.Ordinal));
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
