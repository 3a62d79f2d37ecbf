using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using UffdManager.TestClient;
using UffdManager.TestSupport;

namespace UffdManager.EndToEnd.Tests;

/// <summary>
/// A .NET program that uses the client library as it is told, see tests/Client. Every wait has a deadline, and Dispose kills it: whatever happens
/// to its memory, the test goes on.
/// </summary>
public sealed class DotnetClient : IAsyncDisposable
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    private readonly ConcurrentDictionary<long, TaskCompletionSource<Reply>> _pending = new();
    private readonly Process _process;
    private readonly Task _reading;
    private readonly Task<string> _errors;
    private long _lastId;

    private DotnetClient(Process process)
    {
        _process = process;
        _errors = process.StandardError.ReadToEndAsync();
        _reading = ReadAsync();
    }

    /// <summary>The program's process.</summary>
    public int Pid => _process.Id;

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>Whether a thread of it waits for a page at this moment.</summary>
    public bool WaitsForPage =>
        Directory.EnumerateDirectories($"/proc/{Pid}/task").Any(WaitsInKernel);

    /// <summary>Starts the program.</summary>
    public static DotnetClient Start()
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "UffdManager.TestClient.dll")])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };

        // One thread less to wait for, and the garbage collector of a small machine and of a large one behave the same.
        start.Environment["DOTNET_gcConcurrent"] = "0";
        start.WithoutDebugging();
        return new DotnetClient(Process.Start(start) ?? throw new InvalidOperationException("the client did not start"));
    }

    /// <summary>Gives a command; fails with <see cref="ClientRefusedException"/> if it throws there, and when the process dies over it.</summary>
    /// <returns>What the command yields.</returns>
    public Task<string[]> BeginAsync(string command)
    {
        long id = Interlocked.Increment(ref _lastId);
        var reply = new TaskCompletionSource<Reply>(TaskCreationOptions.RunContinuationsAsynchronously);
        _pending[id] = reply;
        lock (_pending)
        {
            _process.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{id} {command}"));
            _process.StandardInput.Flush();
        }

        return AwaitAsync(command, reply.Task);
    }

    /// <summary>Gives a command and waits for what it yields, a minute at most.</summary>
    public async Task<string[]> RunAsync(string command)
    {
        Task<string[]> begun = BeginAsync(command);
        try
        {
            return await begun.WaitAsync(s_deadline);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"the client does not get on with: {command}\n{Threads()}", e);
        }
    }

    /// <summary>As <see cref="RunAsync"/>, for commands that yield one number.</summary>
    public async Task<ulong> RunNumberAsync(string command) => ulong.Parse((await RunAsync(command))[0], CultureInfo.InvariantCulture);

    /// <summary>Waits for its end.</summary>
    public Task WaitForExitAsync() => _process.WaitForExitAsync().WaitAsync(s_deadline);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill();
        await _process.WaitForExitAsync();
        await _reading;
        await _errors;
        _process.Dispose();
    }

    private static async Task<string[]> AwaitAsync(string command, Task<Reply> asked)
    {
        Reply reply = await asked;
        return reply.Error is null ? reply.Values : throw new ClientRefusedException(command, reply.Error);
    }

    private async Task ReadAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            Reply reply = JsonSerializer.Deserialize<Reply>(line)!;
            if (_pending.TryRemove(reply.Id, out TaskCompletionSource<Reply>? waiting))
                waiting.SetResult(reply);
        }

        string why = await _errors;
        foreach (long id in _pending.Keys)
        {
            if (_pending.TryRemove(id, out TaskCompletionSource<Reply>? waiting))
                waiting.SetException(new EndOfStreamException($"the client died over it: {why}"));
        }
    }

    // A thread of the runtime may end while it is looked at.
    private static bool WaitsInKernel(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "wchan")) == "handle_userfault";
        }
        catch (IOException)
        {
            return false;
        }
    }

    // Where each thread stands in the kernel: handle_userfault, or waiting for another thread.
    private string Threads()
    {
        try
        {
            return string.Join('\n', Directory.EnumerateDirectories($"/proc/{Pid}/task").Select(task =>
                $"{File.ReadAllText(Path.Combine(task, "comm")).TrimEnd()}: {File.ReadAllText(Path.Combine(task, "wchan"))}"));
        }
        catch (IOException)
        {
            return "it has ended";
        }
    }
}
