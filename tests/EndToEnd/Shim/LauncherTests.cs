using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>uffd-run decides what to do with programs that cannot be managed, and when there is nobody to manage them.</summary>
public sealed class LauncherTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    private static string StaticProgram => Path.Combine(ShimFixture.NativeDirectory, "tests", "shim", "static_program");

    [SkippableFact]
    public async Task Require_exits_with_125_and_the_reason_when_no_daemon_answers()
    {
        ProgramResult result = await RunAsync("--socket=/nonexistent/manager.sock", "--require", "--", "echo", "hello");
        Assert.Equal(125, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.Contains("no manager at /nonexistent/manager.sock: No such file or directory", result.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Optional_runs_the_program_when_no_daemon_answers() =>
        Assert.Equal(new ProgramResult(0, "hello\n", ""), await RunAsync("--socket=/nonexistent/manager.sock", "--", "echo", "hello"));

    [SkippableFact]
    public async Task Require_exits_with_125_when_the_policy_does_not_exist()
    {
        ProgramResult result = await RunAsync($"--socket={shim.SocketPath}", "--policy=nonsense", "--require", "--", "echo", "hello");
        Assert.Equal(125, result.ExitCode);
        Assert.Equal("", result.Output);
        Assert.Contains("required", result.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Optional_runs_the_program_when_the_policy_does_not_exist() =>
        Assert.Equal(
            new ProgramResult(0, "hello\n", ""),
            await RunAsync($"--socket={shim.SocketPath}", "--policy=nonsense", "--", "echo", "hello"));

    [SkippableTheory]
    [InlineData(3, "--optional")]
    [InlineData(125, "--require")]
    [InlineData(125, "--static=refuse")]
    [InlineData(3, "--require", "--static=unmanaged")]
    public async Task Static_program_is_refused_or_run_as_the_options_say(int exitCode, params string[] options) =>
        Assert.Equal(exitCode, (await RunAsync([$"--socket={shim.SocketPath}", .. options, "--", StaticProgram])).ExitCode);

    [SkippableTheory]
    [InlineData(0, "--optional")]
    [InlineData(125, "--require")]
    [InlineData(125, "--setuid=refuse")]
    [InlineData(0, "--require", "--setuid=unmanaged")]
    public async Task Program_with_another_user_id_is_refused_or_run_as_the_options_say(int exitCode, params string[] options)
    {
        string program = Path.Combine(shim.Directory.Path, "setuid");
        File.Copy(ShimFixture.Probe, program, overwrite: true);
        using (RunningProgram owner = RunningProgram.Start("chown", ["65534", program]))
            Assert.Equal(0, (await owner.FinishAsync()).ExitCode);
        File.SetUnixFileMode(program, File.GetUnixFileMode(program) | UnixFileMode.SetUser);
        double before = await shim.FaultsAsync();
        Assert.Equal(exitCode, (await RunAsync([$"--socket={shim.SocketPath}", .. options, "--", program, "errno"])).ExitCode);
        Assert.Equal(before, await shim.FaultsAsync());
    }

    [SkippableTheory]
    [InlineData(0, "sh", "-c", "exit 0")]
    [InlineData(9, "sh", "-c", "exit 9")]
    [InlineData(137, "sh", "-c", "kill -9 $$")]
    [InlineData(127, "/no/such/program")]
    [InlineData(126, "/etc/passwd")]
    public async Task Exit_code_is_that_of_the_program_or_says_why_it_did_not_run(int exitCode, params string[] command) =>
        Assert.Equal(exitCode, (await RunAsync([$"--socket={shim.SocketPath}", "--require", "--", .. command])).ExitCode);

    private static async Task<ProgramResult> RunAsync(params string[] arguments)
    {
        using RunningProgram program = RunningProgram.Start(ShimFixture.Launcher, arguments);
        return await program.FinishAsync();
    }
}
