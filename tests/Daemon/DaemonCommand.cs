using System.Diagnostics;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests;

/// <summary>Runs the built daemon as a command and waits for its end.</summary>
internal sealed record DaemonCommand(int ExitCode, string Output, string Error)
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60);

    public static Task<DaemonCommand> RunAsync(params string[] arguments) => RunAsync(arguments, []);

    public static async Task<DaemonCommand> RunAsync(string[] arguments, Dictionary<string, string> environment)
    {
        ProcessStartInfo start = new("dotnet") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "uffd-manager.dll"));
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        start.WithoutDebugging();
        foreach ((string name, string value) in environment)
            start.Environment[name] = value;

        using Process process = Process.Start(start)!;
        using CancellationTokenSource deadline = new(s_deadline);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(deadline.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(deadline.Token);
            await process.WaitForExitAsync(deadline.Token);
            return new DaemonCommand(process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            Assert.Fail($"uffd-manager {string.Join(' ', arguments)} did not end within {s_deadline}");
            throw;
        }
    }
}
