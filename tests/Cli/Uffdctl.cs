using System.Diagnostics;
using System.Text;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Cli.Tests;

/// <summary>Runs the built uffdctl as a command of its own and waits for its end.</summary>
internal sealed record Uffdctl(int ExitCode, string Output, string Error)
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    /// <summary>The program as an argument vector.</summary>
    public static string[] Program { get; } = ["dotnet", Path.Combine(AppContext.BaseDirectory, "uffdctl.dll")];

    /// <summary>
    /// Before a command that is to be interrupted: whoever runs the tests in the background, or below nohup, may ignore the signal, and what is ignored
    /// at the start of a program stays so.
    /// </summary>
    public static string[] WithSignals { get; } = ["env", "--default-signal=INT,QUIT,TERM,HUP"];

    public static Task<Uffdctl> RunAsync(params string[] arguments) => RunAsync(arguments, []);

    public static Task<Uffdctl> RunAsync(FakeControl control, params string[] arguments) => RunAsync([.. arguments, "--socket", control.SocketPath], []);

    /// <summary>
    /// Lets a short --request-timeout pass, which holds for asking and being answered as well as for what the test wants to see end. Where the machine is
    /// too busy for the former, it is tried with a longer one.
    /// </summary>
    /// <param name="start">Makes the manager, a new one for each attempt.</param>
    /// <param name="isInTime">Whether the program has come as far as the test needs.</param>
    /// <param name="arguments">The command line without socket and timeout.</param>
    public static async Task<Uffdctl> RunInTimeAsync(Func<FakeControl> start, Func<Uffdctl, bool> isInTime, params string[] arguments)
    {
        int milliseconds = 400;
        while (true)
        {
            using FakeControl control = start();
            Uffdctl command = await RunAsync(control, [.. arguments, "--request-timeout", $"{milliseconds}ms"]);
            milliseconds *= 3;
            if (isInTime(command) || milliseconds > Deadline.TotalMilliseconds)
                return command;
        }
    }

    public static async Task<Uffdctl> RunAsync(string[] arguments, Dictionary<string, string> environment, string directory = "/", string[]? command = null)
    {
        using Process process = Start([.. command ?? Program, .. arguments], environment, directory);
        process.StandardInput.Close();
        return await EndAsync(process);
    }

    public static Process Start(string[] command, Dictionary<string, string>? environment = null, string directory = "/")
    {
        ProcessStartInfo start = new(command[0], command[1..])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = Encoding.UTF8,
            StandardErrorEncoding = Encoding.UTF8,
            WorkingDirectory = directory,
        };

        // What the developer's own shell has set must not show.
        foreach (string name in (string[])["COLUMNS", "NO_COLOR", "UFFD_MANAGER_CONTROL"])
            start.Environment.Remove(name);
        start.Environment["TERM"] = "xterm-256color";
        start.WithoutDebugging();
        foreach ((string name, string value) in environment ?? [])
            start.Environment[name] = value;
        return Process.Start(start)!;
    }

    public static async Task<Uffdctl> EndAsync(Process process)
    {
        using CancellationTokenSource deadline = new(Deadline);
        Task<string> output = process.StandardOutput.ReadToEndAsync(deadline.Token);
        Task<string> error = process.StandardError.ReadToEndAsync(deadline.Token);
        try
        {
            await process.WaitForExitAsync(deadline.Token);
            return new Uffdctl(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{process.StartInfo.FileName} {string.Join(' ', process.StartInfo.ArgumentList)} did not end within {Deadline}");
            throw;
        }
    }
}
