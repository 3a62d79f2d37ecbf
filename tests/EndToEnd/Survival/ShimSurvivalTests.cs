using UffdManager.EndToEnd.Tests.Shim;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>Programs that know nothing of a manager do not notice that it dies.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class ShimSurvivalTests
{
    private const int Kills = 4;

    // Rounds before the first kill, between two, and after the last.
    private const int Part = 16;

    // Fills, gives back, forks and sums memory in rounds, and says so after each; behind each part it wants a line of input. A block grows
    // piece by piece, so that it is moved again and again.
    private const string Program = """
        import hashlib, os, sys
        blocks, digest = [], hashlib.sha256()
        for round in range(int(sys.argv[1])):
            block = bytearray()
            for piece in range(512):
                block += bytes([round % 251 + 1]) * 2048
            blocks.append(block)
            big = os.urandom(1) and bytes(3 << 20)
            if big.count(0) != len(big):
                sys.exit('zeros are wanted')
            del big
            if round % 5 == 4:
                pid = os.fork()
                if pid == 0:
                    os._exit(0 if all(b[0] == b[-1] for b in blocks) else 9)
                if os.waitpid(pid, 0)[1] != 0:
                    sys.exit('the child has seen something else')
            if len(blocks) > 12:
                del blocks[3]
            for block in blocks:
                digest.update(block[::4096])
            print('round', round, digest.hexdigest()[:12], flush=True)
            if round % int(sys.argv[2]) == int(sys.argv[2]) - 1:
                sys.stdin.readline()
        """;

    [SkippableFact]
    public async Task Python_gives_the_same_answer_while_its_manager_is_killed_again_and_again()
    {
        using TempDirectory directory = new();
        string program = directory.WriteFile("work.py", System.Text.Encoding.UTF8.GetBytes(Program));
        string[] arguments = [program, $"{(Kills + 1) * Part}", $"{Part}"];
        using RunningProgram native = RunningProgram.Start("python3", arguments);
        ProgramResult expected = await native.FinishAsync();
        Assert.Equal(0, expected.ExitCode);

        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        using RunningProgram managed = Start(manager, "python3", arguments);
        for (int kill = 0; kill < Kills; kill++)
        {
            // In the middle of a part: what is left of it needs the successor.
            managed.AwaitOutput($"round {(kill * Part) + (Part / 4)} ");
            Assert.False(managed.HasExited, managed.Output);
            await manager.KillAndAwaitSuccessorAsync();
            managed.WriteLine("go on");
        }

        Assert.Equal(expected, await managed.FinishAsync());
        Assert.Equal(Kills + 1, manager.Lives);
        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Redis_keeps_every_value_while_its_manager_is_killed_and_restarted()
    {
        using TempDirectory directory = new();
        string socket = directory.Combine("redis.sock");
        string[] arguments = ["--port", "0", "--unixsocket", socket, "--save", "", "--dir", directory.Path, "--enable-debug-command", "local"];
        string expected;
        using (RunningProgram native = RunningProgram.Start("redis-server", arguments, directory.Path))
        {
            for (int part = 0; part < Kills; part++)
                Assert.Equal("filled", await AskAsync(socket, "eval", Fill(part), "0"));
            expected = await AskAsync(socket, "debug", "digest");
            await AskAsync(socket, "shutdown", "nosave");
            await native.FinishAsync();
        }

        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        using RunningProgram managed = Start(manager, "redis-server", arguments);
        for (int part = 0; part < Kills; part++)
        {
            Task<string> filling = AskAsync(socket, "eval", Fill(part), "0");
            TimeSpan outage = part % 2 == 0 ? await manager.KillAndAwaitSuccessorAsync() : await manager.HandOverAsync();
            Assert.Equal("filled", await filling);
            Assert.True(outage < TimeSpan.FromSeconds(30), $"{outage}");
            Assert.Equal("Background saving started", await AskAsync(socket, "bgsave"));
            await AwaitSavedAsync(socket);
        }

        Assert.Equal(expected, await AskAsync(socket, "debug", "digest"));
        await AskAsync(socket, "shutdown", "nosave");
        Assert.Equal(0, (await managed.FinishAsync()).ExitCode);
        manager.AssertNoAccident();
    }

    private static string Fill(int part) =>
        $"for i={part * 10000},{(part * 10000) + 9999} do redis.call('set', 'k'..i, string.rep(tostring(i*7919), 60)) end return 'filled'";

    private static RunningProgram Start(SupervisedManager manager, string file, params string[] arguments) =>
        RunningProgram.Start(ShimFixture.Launcher, [$"--socket={manager.SocketPath}", "--require", "--", file, .. arguments]);

    private static async Task AwaitSavedAsync(string socket)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        for (int tries = 0; tries < 400; tries++)
        {
            string[] info = (await AskAsync(socket, "info", "persistence")).Split('\n', StringSplitOptions.TrimEntries);
            if (info.Contains("rdb_bgsave_in_progress:0"))
            {
                Assert.Contains("rdb_last_bgsave_status:ok", info);
                return;
            }

            await timer.WaitForNextTickAsync();
        }

        Assert.Fail("redis does not finish its save");
    }

    /// <summary>The server's answer, asked for until it is there to give one.</summary>
    private static async Task<string> AskAsync(string socket, params string[] command)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        ProgramResult result;
        int tries = 0;
        do
        {
            using RunningProgram client = RunningProgram.Start("redis-cli", ["-s", socket, .. command]);
            result = await client.FinishAsync();
            if (result.ExitCode == 0 && !result.Output.StartsWith("LOADING", StringComparison.Ordinal))
                return result.Output.Trim();
        }
        while (++tries < 400 && await timer.WaitForNextTickAsync());
        Assert.Fail($"redis does not answer {command[0]}: {result}");
        return "";
    }
}
