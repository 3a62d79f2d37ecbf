using System.Diagnostics;
using System.Threading.Channels;
using UffdManager.Linux;

namespace UffdManager.Benchmarks;

/// <summary>A program that this one started: its lines of output, its exit, and its end if nobody waits for it.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private const int SigTerm = 15;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);
    private readonly Process _process;
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();
    private readonly Queue<string> _errors = new();
    private readonly Task _readers;

    private ChildProcess(Process process, string name, bool errorsAreLines)
    {
        _process = process;
        Name = name;
        _readers = Task.WhenAll(
            ReadAsync(process.StandardOutput, line => _lines.Writer.TryWrite(line)),
            ReadAsync(process.StandardError, line => KeepError(line, errorsAreLines)));
        _ = _readers.ContinueWith(_ => _lines.Writer.TryComplete(), TaskScheduler.Default);
    }

    public int Pid => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Starts a program.</summary>
    /// <param name="program">Its path.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="cpu">The one CPU that it may use, null for any.</param>
    /// <param name="nice">Its priority, null for this program's.</param>
    /// <param name="environment">On top of this process's own.</param>
    /// <param name="errorsAreLines">Whether <see cref="ReadLineAsync"/> returns lines of standard error too.</param>
    public static ChildProcess Start(
        string program, IEnumerable<string> arguments, int? cpu = null, int? nice = null,
        IReadOnlyDictionary<string, string>? environment = null, bool errorsAreLines = false)
    {
        if (!File.Exists(program))
            throw new BenchException($"{program} is missing: build it first");
        // nice and taskset replace themselves by what they start: the pid is the program's.
        string[] priority = nice is { } value ? ["nice", "-n", $"{value}"] : [];
        string[] affinity = cpu is { } number ? ["taskset", "-c", $"{number}"] : [];
        string[] command = [.. priority, .. affinity, program];
        var start = new ProcessStartInfo(command[0], [.. command[1..], .. arguments])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // As the unit and the installed launcher have it: nothing to measure beside the manager, and nothing left of one that is killed.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        foreach ((string name, string text) in environment ?? new Dictionary<string, string>(StringComparer.Ordinal))
            start.Environment[name] = text;
        Process process = Process.Start(start) ?? throw new BenchException($"{program} did not start");
        return new ChildProcess(process, Path.GetFileName(program), errorsAreLines);
    }

    /// <summary>The next line of output, or null when there will be none.</summary>
    /// <exception cref="BenchException">None came in time.</exception>
    public async Task<string?> ReadLineAsync(TimeSpan patience)
    {
        using var timeout = new CancellationTokenSource(patience);
        try
        {
            return await _lines.Reader.WaitToReadAsync(timeout.Token) && _lines.Reader.TryRead(out string? line) ? line : null;
        }
        catch (OperationCanceledException e)
        {
            throw new BenchException($"{Name} said nothing for {patience.TotalSeconds:0} s{LastErrors()}", e);
        }
    }

    /// <summary>From now on nobody reads the lines: they are dropped, the last of standard error excepted.</summary>
    public void DiscardLines() => _lines.Writer.TryComplete();

    public async Task WriteLineAsync(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    public void CloseInput() => _process.StandardInput.Close();

    /// <summary>Waits for the end.</summary>
    /// <exception cref="BenchException">It did not end in time, or with another exit code than 0.</exception>
    public async Task WaitAsync(TimeSpan patience)
    {
        using var timeout = new CancellationTokenSource(patience);
        try
        {
            await _process.WaitForExitAsync(timeout.Token);
        }
        catch (OperationCanceledException e)
        {
            throw new BenchException($"{Name} did not end within {patience.TotalSeconds:0} s{LastErrors()}", e);
        }

        if (_process.ExitCode != 0)
            throw new BenchException($"{Name} ended with {_process.ExitCode}{LastErrors()}");
    }

    /// <summary>The last lines of standard error, to be appended to a message.</summary>
    public string LastErrors()
    {
        lock (_errors)
            return _errors.Count == 0 ? "" : ": " + string.Join(" | ", _errors);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            using (SafePidFd? pidFd = PidFd.TryOpen(_process.Id, out _))
            {
                if (pidFd is not null)
                    _ = PidFd.SendSignal(pidFd, SigTerm);
            }

            using var timeout = new CancellationTokenSource(s_patience);
            try
            {
                await _process.WaitForExitAsync(timeout.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
                await _process.WaitForExitAsync();
            }
        }

        await _readers;
        _process.Dispose();
    }

    private string Name { get; }

    private static async Task ReadAsync(StreamReader reader, Action<string> take)
    {
        while (await reader.ReadLineAsync() is { } line)
            take(line);
    }

    private void KeepError(string line, bool errorsAreLines)
    {
        lock (_errors)
        {
            _errors.Enqueue(line);
            if (_errors.Count > 5)
                _errors.Dequeue();
        }

        if (errorsAreLines)
            _lines.Writer.TryWrite(line);
    }
}
