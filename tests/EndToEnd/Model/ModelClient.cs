using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Threading.Channels;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Model;

/// <summary>One <c>uffd-model</c>, with the orders of its <c>command.h</c>. Killed on disposal.</summary>
public sealed class ModelClient : IAsyncDisposable
{
    // More than a manager under load needs from its death to the end of its successor's start.
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly Channel<string> _answers = Channel.CreateUnbounded<string>();
    private readonly StringBuilder _output = new();
    private readonly Task _end;

    private ModelClient(Process process)
    {
        _process = process;
        _end = ReadAsync();
    }

    /// <summary>The session that it has got.</summary>
    public long Session { get; private set; }

    /// <summary>Its command line, and the first that it has said.</summary>
    public string Beginning => string.Join('\n', ToString().Split('\n').Take(2));

    /// <summary>Starts one and waits until its memory is registered.</summary>
    public static async Task<ModelClient> StartAsync(string socket, int seed, IEnumerable<string> options)
    {
        ProcessStartInfo start = new(ModelSettings.Client, ["--socket", socket, "--seed", $"{seed}", "--patience", "200", .. options])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        ModelClient client = new(Process.Start(start)!);
        client.Note($"{ModelSettings.Client} {string.Join(' ', start.ArgumentList)}");
        try
        {
            string line = await client.AwaitAnswerAsync("attached ");
            client.Session = long.Parse(line.Split(' ')[1].Split('=')[1], CultureInfo.InvariantCulture);
            return client;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <summary>Gives an order that is not answered.</summary>
    public Task TellAsync(string order) => WriteAsync(order);

    /// <summary>Gives an order and waits for its answer.</summary>
    /// <returns>What stands behind "... ok".</returns>
    public async Task<string> AskAsync(string order)
    {
        await WriteAsync(order);
        string wanted = $"{order.Split(' ')[0]} ok";
        return (await AwaitAnswerAsync(wanted))[wanted.Length..].Trim();
    }

    /// <summary>Has it check everything once more.</summary>
    /// <returns>Its last line.</returns>
    public async Task<string> FinishAsync()
    {
        await WriteAsync("finish");
        string line = await AwaitAnswerAsync("ok ");
        await _process.WaitForExitAsync(new CancellationTokenSource(s_deadline).Token);
        Assert.Equal(0, _process.ExitCode);
        return line;
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        lock (_output)
            return _output.ToString();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        await _end;
        _process.Dispose();
    }

    private async Task WriteAsync(string order)
    {
        Note($"> {order}");
        try
        {
            await _process.StandardInput.WriteLineAsync(order);
            await _process.StandardInput.FlushAsync();
        }
        catch (IOException)
        {
            await FailAsync($"it does not take the order \"{order}\"");
        }
    }

    // With the time by the clock of its own reports.
    private void Note(string line)
    {
        lock (_output)
            _output.Append(CultureInfo.InvariantCulture, $"at={Stopwatch.GetTimestamp()} {line}\n");
    }

    private async Task<string> AwaitAnswerAsync(string wanted)
    {
        using CancellationTokenSource patience = new(s_deadline);
        try
        {
            string line = await _answers.Reader.ReadAsync(patience.Token);
            if (!line.StartsWith(wanted, StringComparison.Ordinal))
                await FailAsync($"it says \"{line}\" instead of \"{wanted}\"");
            return line;
        }
        catch (OperationCanceledException)
        {
            await FailAsync($"it does not say \"{wanted}\"");
        }
        catch (ChannelClosedException)
        {
            await FailAsync($"it has ended instead of saying \"{wanted}\"");
        }

        throw new UnreachableException();
    }

    private async Task FailAsync(string what)
    {
        string state = "";
        if (await HasEndedAsync())
            await _end.WaitAsync(s_deadline);
        else
            state = "\n" + WaitingThreads();
        string exit = _process.HasExited ? $" (exit code {_process.ExitCode})" : "";
        Assert.Fail($"the client of session {Session}: {what}{exit}:\n{this}{state}");
    }

    // Who closes its pipes may still be on its way out.
    private async Task<bool> HasEndedAsync()
    {
        using CancellationTokenSource patience = new(TimeSpan.FromSeconds(2));
        try
        {
            await _process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            // It says something else, or nothing.
        }

        return _process.HasExited;
    }

    // Where each thread of it and of its children is in the kernel.
    private string WaitingThreads()
    {
        StringBuilder text = new();
        foreach (int pid in (int[])[_process.Id, .. Children(_process.Id)])
        {
            foreach (string task in Tasks(pid))
                text.Append(CultureInfo.InvariantCulture, $"{task}: {Read(task, "wchan")} {Read(task, "syscall").Trim()}\n");
        }

        return text.ToString();
    }

    private static string[] Tasks(int pid)
    {
        try
        {
            return Directory.GetDirectories($"/proc/{pid}/task");
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    private static IEnumerable<int> Children(int pid) => Tasks(pid)
        .SelectMany(task => Read(task, "children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Select(child => int.Parse(child, CultureInfo.InvariantCulture));

    private static string Read(string directory, string name)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, name));
        }
        catch (IOException)
        {
            return "";
        }
    }

    private async Task ReadAsync()
    {
        Task errors = CopyAsync(_process.StandardError, answers: null);
        await CopyAsync(_process.StandardOutput, _answers.Writer);
        _answers.Writer.Complete();
        await errors;
    }

    private async Task CopyAsync(StreamReader reader, ChannelWriter<string>? answers)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            lock (_output)
                _output.Append(CultureInfo.InvariantCulture, $"{line}\n");
            // What goes before a failure, and the failure itself, are no answers.
            if (answers is not null && !line.StartsWith("worker ", StringComparison.Ordinal) && !line.StartsWith("FAIL ", StringComparison.Ordinal))
                await answers.WriteAsync(line);
        }
    }
}
