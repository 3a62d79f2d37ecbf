using UffdManager.EndToEnd.Tests.Survival;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>The agent is one of three that hold a program's userfaultfd: the others are the manager and its descriptor store.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class AgentLossTests : IDisposable
{
    private const int HalfSize = 8 << 20;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableTheory]
    [InlineData("halves")]
    [InlineData("fork-later")]
    public async Task Program_without_agent_goes_on_with_the_manager_after_the_one_that_it_knew(string probe)
    {
        byte[] contents = new byte[HalfSize];
        new Random(2).NextBytes(contents);
        string file = _directory.WriteFile("half", contents);
        using RunningProgram native = RunningProgram.Start(ShimFixture.Probe, [probe, file]);
        native.WriteLine("go");
        string expected = (await native.FinishAsync()).Output;

        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        string[] options = [$"--socket={manager.SocketPath}", "--require", $"--lazy={_directory.Path}", "--", ShimFixture.Probe, probe, file];
        using RunningProgram program = RunningProgram.Start(ShimFixture.Launcher, options);
        program.AwaitOutput("first");
        KillAgentOf(program.Pid);
        await manager.KillAndAwaitSuccessorAsync();
        program.WriteLine("go");

        ProgramResult result = await program.FinishAsync();
        Assert.True(result.ExitCode == 0, $"{result}\n{manager}");
        Assert.Equal(expected, result.Output);
        manager.AssertNoAccident();
    }

    private static void KillAgentOf(int program)
    {
        int agent = Directory.EnumerateDirectories("/proc")
            .Select(directory => int.TryParse(Path.GetFileName(directory), out int pid) ? pid : 0)
            .Single(pid => pid > 0 && ProcessInfo.TryReadParent(pid, out int parent) && parent == program && NameOf(pid) == "uffd-agent");
        using SafePidFd handle = PidFd.TryOpen(agent, out Errno errno) ?? throw new SyscallException(errno, "pidfd_open", $"{agent}");
        Assert.Equal(Errno.OK, PidFd.SendSignal(handle, Signals.Kill));
        Assert.True(PidFd.WaitForExit(handle, Eventually.DefaultDeadline), "the agent does not die");
    }

    private static string NameOf(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/comm").TrimEnd();
        }
        catch (IOException)
        {
            return "";
        }
    }
}
