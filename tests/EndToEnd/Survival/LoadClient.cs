using System.Diagnostics;
using System.Globalization;
using System.Text;
using UffdManager.Linux;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>
/// One run of <c>uffd-survival-client load</c>: a program that knows every byte that its memory must hold, and that resumes its session
/// whenever the manager has been away. Killed on disposal.
/// </summary>
public sealed class LoadClient : IAsyncDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(120);

    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly Task _end;

    private LoadClient(Process process)
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

    /// <summary>Starts a client with a seed; <paramref name="options"/> are those of the program.</summary>
    public static LoadClient Start(string socket, string source, int seed, params string[] options)
    {
        ProcessStartInfo start = new(SurvivalSource.Client, ["load", "--socket", socket, "--source", source, "--seed", $"{seed}", .. options])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        return new LoadClient(Process.Start(start)!);
    }

    /// <summary>Waits until it has its session and its threads are about to begin.</summary>
    public async Task<LoadClient> AwaitAttachedAsync()
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        long begin = Stopwatch.GetTimestamp();
        while (!Output.Contains("attached ", StringComparison.Ordinal))
        {
            if (HasExited || Stopwatch.GetElapsedTime(begin) > s_deadline)
                Assert.Fail($"the client did not attach: {Output}");
            await timer.WaitForNextTickAsync();
        }

        return this;
    }

    /// <summary>Waits until it has done some more: it is served, and not only alive.</summary>
    public async Task AwaitProgressAsync()
    {
        const int Enough = 100;
        long wanted = Operations() + Enough;
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(20));
        long begin = Stopwatch.GetTimestamp();
        while (Operations() < wanted)
        {
            if (HasExited || Stopwatch.GetElapsedTime(begin) > s_deadline)
                Assert.Fail($"the client stands still: {LastLines()}");
            await timer.WaitForNextTickAsync();
        }

        long Operations() => Output.Split('\n').LastOrDefault(line => line.StartsWith("progress ", StringComparison.Ordinal)) is { } line
            ? LoadResult.Parse(line).Operations
            : 0;
    }

    /// <summary>SIGTERM: it checks all of its memory once more and says how it went.</summary>
    public async Task<LoadResult> FinishAsync()
    {
        using (SafePidFd? process = PidFd.TryOpen(Pid, out _))
        {
            if (process is not null)
                _ = PidFd.SendSignal(process, Signals.Terminate);
        }

        await AwaitEndAsync();
        Assert.True(_process.ExitCode == 0, $"a client ended with {_process.ExitCode}: {LastLines()}");
        return LoadResult.Parse(Output.Split('\n').Last(line => line.StartsWith("ok ", StringComparison.Ordinal)));
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
            Assert.Fail($"the client does not end: {LastLines()}");
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

    private string LastLines() => string.Join('\n', Output.Split('\n').TakeLast(6));

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
