using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>A server whose snapshots live on fork and copy-on-write.</summary>
public sealed class RedisTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    private const string Fill = """
        for i=1,30000 do
            redis.call('set', 'k'..i, string.rep(tostring(i*7919), 60))
            redis.call('rpush', 'l'..(i%100), i)
        end
        return 'filled'
        """;

    [SkippableFact]
    public async Task Redis_keeps_its_data_when_it_saves_in_a_forked_child()
    {
        string expected;
        using (RunningProgram native = RunningProgram.Start("redis-server", Arguments("native"), shim.Directory.Path))
        {
            await AnswerAsync("native", "eval", Fill, "0");
            expected = await AnswerAsync("native", "debug", "digest");
            await StopAsync(native, "native");
        }

        double before = await shim.FaultsAsync();
        using (RunningProgram managed = shim.Start("redis-server", Arguments("managed"), directory: shim.Directory.Path))
        {
            Assert.Equal("filled", await AnswerAsync("managed", "eval", Fill, "0"));
            Assert.Equal(expected, await AnswerAsync("managed", "debug", "digest"));
            Assert.Equal("Background saving started", await AnswerAsync("managed", "bgsave"));
            await BenchmarkAsync("managed");
            await EventuallySavedAsync();
            await AnswerAsync("managed", "flushall");
            Assert.Equal("filled", await AnswerAsync("managed", "eval", Fill, "0"));
            Assert.Equal(expected, await AnswerAsync("managed", "debug", "digest"));
            Assert.Equal("OK", await AnswerAsync("managed", "save"));
            await StopAsync(managed, "managed");
        }

        await shim.AssertFaultsAsync(before, 5000);
        using RunningProgram reader = RunningProgram.Start("redis-server", Arguments("managed"), shim.Directory.Path);
        Assert.Equal(expected, await AnswerAsync("managed", "debug", "digest"));
        await StopAsync(reader, "managed");
    }

    private string Socket(string name) => Path.Combine(shim.Directory.Path, name + ".redis");

    private string[] Arguments(string name) =>
    [
        "--port", "0", "--unixsocket", Socket(name), "--save", "", "--dir", shim.Directory.Path, "--dbfilename", name + ".rdb",
        "--enable-debug-command", "local", "--daemonize", "no",
    ];

    /// <summary>The server's answer, asked for until it is there to give one.</summary>
    private async Task<string> AnswerAsync(string name, params string[] command)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        ProgramResult result;
        int tries = 0;
        do
        {
            using RunningProgram client = RunningProgram.Start("redis-cli", ["-s", Socket(name), .. command]);
            result = await client.FinishAsync();
            if (result.ExitCode == 0 && !result.Output.StartsWith("LOADING", StringComparison.Ordinal))
                return result.Output.Trim();
        }
        while (++tries < 400 && await timer.WaitForNextTickAsync());
        Assert.Fail($"redis does not answer {command[0]}: {result}");
        return "";
    }

    private async Task BenchmarkAsync(string name)
    {
        using RunningProgram benchmark = RunningProgram.Start(
            "redis-benchmark", ["-s", Socket(name), "-t", "set,get,lpush", "-n", "20000", "-d", "1000", "-r", "10000", "-q"]);
        ProgramResult result = await benchmark.FinishAsync();
        Assert.True(result.ExitCode == 0 && result.Output.Contains("requests per second", StringComparison.Ordinal), result.ToString());
    }

    private async Task EventuallySavedAsync()
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        for (int i = 0; i < 600; i++)
        {
            string state = await AnswerAsync("managed", "info", "persistence");
            if (state.Contains("rdb_bgsave_in_progress:0", StringComparison.Ordinal))
            {
                Assert.Contains("rdb_last_bgsave_status:ok", state, StringComparison.Ordinal);
                Assert.DoesNotContain("rdb_last_bgsave_time_sec:-1", state, StringComparison.Ordinal);
                return;
            }

            await timer.WaitForNextTickAsync();
        }

        Assert.Fail("BGSAVE did not end in 30 s");
    }

    private async Task StopAsync(RunningProgram server, string name)
    {
        using (RunningProgram client = RunningProgram.Start("redis-cli", ["-s", Socket(name), "shutdown", "nosave"]))
            await client.FinishAsync();
        ProgramResult result = await server.FinishAsync();
        Assert.True(result.ExitCode == 0, result.ToString());
    }
}
