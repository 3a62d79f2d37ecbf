using System.ComponentModel;
using System.Diagnostics;
using System.Text;
using UffdManager.TestSupport;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>A program with its streams in pipes, started by us and killed on Dispose if it still runs.</summary>
public sealed class RunningProgram : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly Task _outputEnd;
    private readonly Task<string> _error;

    private RunningProgram(Process process)
    {
        _process = process;
        _outputEnd = ReadOutputAsync();
        _error = process.StandardError.ReadToEndAsync();
    }

    public int Pid => _process.Id;

    public bool HasExited => _process.HasExited;

    public string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    public static RunningProgram Start(string file, IEnumerable<string> arguments, string? directory = null)
    {
        ProcessStartInfo start = new(file, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            WorkingDirectory = directory ?? "/",
        };
        try
        {
            return new RunningProgram(Process.Start(start) ?? throw new InvalidOperationException($"{file} did not start"));
        }
        catch (Win32Exception e)
        {
            throw new InvalidOperationException($"{file} did not start: {e.Message}", e);
        }
    }

    public void WriteLine(string line)
    {
        _process.StandardInput.WriteLine(line);
        _process.StandardInput.Flush();
    }

    public void AwaitOutput(string text) => Eventually.True(
        () => Output.Contains(text, StringComparison.Ordinal) || HasExited, TimeSpan.FromSeconds(60), $"'{text}' in the output of {Pid}");

    /// <summary>Closes its input and waits for its end; a program that does not come to one is killed, and that is a failure.</summary>
    public async Task<ProgramResult> FinishAsync(TimeSpan? deadline = null)
    {
        _process.StandardInput.Close();
        using CancellationTokenSource patience = new(deadline ?? TimeSpan.FromSeconds(120));
        try
        {
            await _process.WaitForExitAsync(patience.Token);
            await _outputEnd.WaitAsync(patience.Token);
            return new ProgramResult(_process.ExitCode, Output, await _error.WaitAsync(patience.Token));
        }
        catch (OperationCanceledException e)
        {
            throw new TimeoutException($"{_process.StartInfo.FileName} did not end; so far it said:\n{Output}", e);
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private async Task ReadOutputAsync()
    {
        char[] buffer = new char[4096];
        int count;
        while ((count = await _process.StandardOutput.ReadAsync(buffer)) > 0)
        {
            lock (_output)
                _output.Append(buffer, 0, count);
        }
    }
}
