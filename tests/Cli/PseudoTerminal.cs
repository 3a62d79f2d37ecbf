using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>
/// Runs uffdctl in a terminal of its own, made by script(1): what it writes is read here, what is typed here it reads. The shell around it says how it ended
/// and whether the terminal is as it was.
/// </summary>
/// <remarks>
/// script(1) stops reading the terminal 10 ms after the shell has ended, come what may later from a busy kernel. So the shell waits for a last line of input
/// when it has said everything, and is given it when that was read.
/// </remarks>
internal sealed partial class PseudoTerminal : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _text = new();
    private readonly Lock _textLock = new();
    private readonly Task _reading;

    public PseudoTerminal(string[] arguments, int columns = 100, int rows = 30, Dictionary<string, string>? environment = null)
    {
        string line = string.Join(' ', Uffdctl.Program.Concat(arguments).Select(Quote));

        // A key that interrupts the program reaches its shell too. With a trap every shell waits for the program's own end; without one some do not.
        string shell = $"trap : INT; stty cols {columns} rows {rows}; before=$(stty -g); {line}; code=$?; "
            + "[ \"$before\" = \"$(stty -g)\" ] && terminal=restored || terminal=changed; echo; echo \"ended with $code, $terminal\"; read -r over; exit $code";
        _process = Uffdctl.Start(
            [.. Uffdctl.WithSignals, "script", "--quiet", "--return", "--echo", "never", "--command", shell, "/dev/null"],
            new(environment ?? []) { ["SHELL"] = "/bin/sh" });
        _reading = ReadAsync();
    }

    /// <summary>Everything written so far, escape sequences included.</summary>
    public string Text
    {
        get
        {
            lock (_textLock)
                return _text.ToString();
        }
    }

    /// <summary>Whether the terminal was as before when the command had ended.</summary>
    public bool IsRestored => Text.Contains(", restored", StringComparison.Ordinal);

    public void Type(string keys)
    {
        _process.StandardInput.Write(keys);
        _process.StandardInput.Flush();
    }

    /// <summary>Waits until something new is written: a text that comes after what was there at a mark.</summary>
    public async Task WaitForAsync(string text, int after = 0)
    {
        long begin = Stopwatch.GetTimestamp();
        while (Text.IndexOf(text, Math.Min(after, Text.Length), StringComparison.Ordinal) < 0)
        {
            if (Stopwatch.GetElapsedTime(begin) > Uffdctl.Deadline || LastLine().IsMatch(Text) || _process.HasExited)
                Assert.Fail($"\"{text}\" was not written; this was:\n{Text.Replace("\e", "<ESC>", StringComparison.Ordinal)}");
            await Task.Delay(10); // lint: allowed, pace of a poll with a deadline
        }
    }

    /// <summary>Waits for the end and returns the exit code.</summary>
    public async Task<int> EndAsync()
    {
        using CancellationTokenSource deadline = new(Uffdctl.Deadline);
        while (!LastLine().IsMatch(Text) && !_process.HasExited)
            await Task.Delay(10, deadline.Token); // lint: allowed, pace of a poll with a deadline
        Type("\n");
        await _process.WaitForExitAsync(deadline.Token);
        await _reading.WaitAsync(deadline.Token);
        return _process.ExitCode;
    }

    /// <summary>The process of uffdctl itself.</summary>
    public int FindProgram()
    {
        foreach (string directory in Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), out _)))
        {
            try
            {
                int pid = int.Parse(Path.GetFileName(directory));
                if (File.ReadAllText($"{directory}/cmdline").StartsWith("dotnet\0" + Uffdctl.Program[1], StringComparison.Ordinal) && IsBelow(pid, _process.Id))
                    return pid;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Ended meanwhile.
            }
        }

        throw new InvalidOperationException($"uffdctl does not run; it wrote: {Text}");
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private static bool IsBelow(int pid, int ancestor)
    {
        while (pid > 1)
        {
            if (pid == ancestor)
                return true;
            string stat = File.ReadAllText($"/proc/{pid}/stat");
            pid = int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[1]);
        }

        return false;
    }

    [GeneratedRegex(@"\nended with \d+, \w+\r?\n", RegexOptions.None, 1000)]
    private static partial Regex LastLine();

    private static string Quote(string word) => $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'";

    private async Task ReadAsync()
    {
        char[] buffer = new char[4096];
        while (await _process.StandardOutput.ReadAsync(buffer) is > 0 and var count)
        {
            lock (_textLock)
                _text.Append(buffer, 0, count);
        }
    }
}
