using System.Globalization;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>Neither the daemon nor the agent is part of the program: losing them costs it nothing but time.</summary>
public sealed class ManagerLossTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    private const int HalfSize = 8 << 20;

    [SkippableFact]
    public Task Program_goes_on_when_the_daemon_is_killed_and_started_again() => AssertLossAsync("halves", "killed", async () =>
    {
        shim.KillDaemon();
        await shim.StartDaemonAsync();
    });

    [SkippableFact]
    public Task Program_goes_on_when_the_daemon_is_stopped_in_order_and_started_again() => AssertLossAsync("halves", "stopped", async () =>
    {
        await shim.StopDaemonAsync();
        await shim.StartDaemonAsync();
    });

    [SkippableTheory]
    [InlineData("halves", "second")]
    [InlineData("fork-later", "child")]
    public async Task Program_waits_when_the_daemon_is_away_for_a_while(string probe, string then)
    {
        string file = CreateFile(probe);
        string expected = await NativeAsync(probe, file);
        using RunningProgram program = StartProbe(probe, file);
        program.AwaitOutput("first");
        shim.KillDaemon();
        program.WriteLine("go");
        Eventually.Never(() => program.Output.Contains(then, StringComparison.Ordinal) || program.HasExited, TimeSpan.FromSeconds(1));
        await shim.StartDaemonAsync();
        ProgramResult result = await program.FinishAsync();
        Assert.Equal(expected, result.Output);
        await shim.AssertFaultsAsync(0, 1000);
    }

    [SkippableFact]
    public Task Program_goes_on_when_its_agent_is_killed() => AssertLossAsync("halves", "agent", KillAgent);

    [SkippableFact]
    public Task Forked_child_gets_an_agent_when_that_of_its_parent_is_killed() => AssertLossAsync("fork-later", "child", KillAgent);

    private Task KillAgent()
    {
        int agent = Agents().Single();
        RunToEnd("kill", "-KILL", $"{agent}");
        Eventually.True(() => !Agents().Contains(agent), "the end of the agent");
        return Task.CompletedTask;
    }

    private async Task AssertLossAsync(string probe, string name, Func<Task> between)
    {
        string file = CreateFile(name);
        string expected = await NativeAsync(probe, file);
        using RunningProgram program = StartProbe(probe, file);
        program.AwaitOutput("first");
        await between();
        double before = await shim.FaultsAsync();
        program.WriteLine("go");
        ProgramResult result = await program.FinishAsync();
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(expected, result.Output);
        await shim.AssertFaultsAsync(before, 1000);
    }

    private RunningProgram StartProbe(string probe, string file) =>
        shim.Start(ShimFixture.Probe, [probe, file], [$"--lazy={shim.Directory.Path}"]);

    private static async Task<string> NativeAsync(string probe, string file)
    {
        using RunningProgram native = RunningProgram.Start(ShimFixture.Probe, [probe, file]);
        native.WriteLine("go");
        return (await native.FinishAsync()).Output;
    }

    private string CreateFile(string name)
    {
        byte[] contents = new byte[HalfSize];
        new Random(name.Length).NextBytes(contents);
        return shim.Directory.WriteFile(name, contents);
    }

    /// <summary>
    /// Agents of the program that this test has started: it is the only one that has the fixture's directory on its command line.
    /// </summary>
    private IEnumerable<int> Agents()
    {
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(directory), CultureInfo.InvariantCulture, out int pid))
                continue;
            string name;
            string command;
            try
            {
                name = File.ReadAllText(Path.Combine(directory, "comm")).Trim();
                command = File.ReadAllText(Path.Combine(directory, "cmdline"));
            }
            catch (IOException)
            {
                continue;
            }

            if (name == "uffd-agent" && command.Contains(shim.Directory.Path, StringComparison.Ordinal))
                yield return pid;
        }
    }

    private static void RunToEnd(string file, params string[] arguments)
    {
        using RunningProgram program = RunningProgram.Start(file, arguments);
        ProgramResult result = program.FinishAsync().GetAwaiter().GetResult();
        Assert.True(result.ExitCode == 0, result.ToString());
    }
}
