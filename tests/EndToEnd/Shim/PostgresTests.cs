using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Shim;

/// <summary>A server of another user, without any privilege, that forks for each of its clients.</summary>
public sealed class PostgresTests(ShimFixture shim) : IClassFixture<ShimFixture>
{
    private const string Query = """
        set work_mem='128MB';
        select count(*), md5(string_agg(h, '' order by h)) from (select md5(x::text) h from generate_series(1,150000) x) s;
        select count(*), sum(abalance)=0 from pgbench_accounts;
        """;

    private static readonly string? s_binaries = Directory.Exists("/usr/lib/postgresql")
        ? Directory.GetDirectories("/usr/lib/postgresql").Order(StringComparer.Ordinal).Select(d => Path.Combine(d, "bin")).LastOrDefault()
        : null;

    [SkippableFact]
    public async Task Postgres_answers_the_same_when_it_runs_as_its_own_user()
    {
        Require.That(s_binaries is not null, "PostgreSQL is not installed");
        string expected = await RunAsync("native", []);
        double before = await shim.FaultsAsync();
        string actual = await RunAsync("managed", Launch());
        Assert.Equal(expected, actual);
        await shim.AssertFaultsAsync(before, 3000);
        Assert.True(await shim.MetricAsync("uffd_manager_events_total", "kind=\"fork\"") > 3, "The server's forks were not seen");
    }

    /// <summary>The shim where the server's user can read it, wherever the build is.</summary>
    private string[] Launch()
    {
        foreach (string name in (string[])["uffd-run", "libuffd-shim.so"])
            File.Copy(Path.Combine(ShimFixture.NativeDirectory, name), Path.Combine(shim.Directory.Path, name), overwrite: true);
        return [Path.Combine(shim.Directory.Path, "uffd-run"), $"--socket={shim.SocketPath}", "--require", "--min=256K", "--"];
    }

    private async Task<string> RunAsync(string name, string[] launch)
    {
        string data = Path.Combine(shim.Directory.Path, name);
        Directory.CreateDirectory(data);
        await RunToEndAsync("chown", ["postgres:postgres", data]);
        await AsPostgresAsync([.. launch, Path.Combine(s_binaries!, "initdb"), "-D", data, "-A", "trust", "--no-sync"]);
        using RunningProgram server = RunningProgram.Start(
            "setpriv",
            [
                .. Identity, .. launch, Path.Combine(s_binaries!, "postgres"),
                "-D", data, "-k", data, "-c", "listen_addresses=", "-c", "fsync=off",
            ],
            data);
        await UntilReadyAsync(server, data);
        await AsPostgresAsync([Path.Combine(s_binaries!, "pgbench"), "-h", data, "-i", "-s", "2", "-q", "postgres"]);
        await AsPostgresAsync([Path.Combine(s_binaries!, "pgbench"), "-h", data, "-c", "4", "-j", "2", "-t", "200", "-S", "postgres"]);
        string answer = (await AsPostgresAsync([Path.Combine(s_binaries!, "psql"), "-h", data, "-At", "-c", Query, "postgres"])).Output;
        await AsPostgresAsync([Path.Combine(s_binaries!, "pg_ctl"), "stop", "-D", data, "-m", "fast", "-w"]);
        ProgramResult end = await server.FinishAsync();
        Assert.True(end.ExitCode == 0, end.ToString());
        return answer;
    }

    private static string[] Identity => ["--reuid=postgres", "--regid=postgres", "--clear-groups"];

    private static async Task UntilReadyAsync(RunningProgram server, string data)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(100));
        for (int i = 0; i < 300; i++)
        {
            using RunningProgram probe = RunningProgram.Start(Path.Combine(s_binaries!, "pg_isready"), ["-h", data, "-q"]);
            if ((await probe.FinishAsync()).ExitCode == 0)
                return;
            if (server.HasExited)
                break;
            await timer.WaitForNextTickAsync();
        }

        Assert.Fail($"PostgreSQL does not answer: {await server.FinishAsync()}");
    }

    private static Task<ProgramResult> AsPostgresAsync(string[] command) => RunToEndAsync("setpriv", [.. Identity, .. command]);

    private static async Task<ProgramResult> RunToEndAsync(string file, string[] arguments)
    {
        using RunningProgram program = RunningProgram.Start(file, arguments, "/tmp");
        ProgramResult result = await program.FinishAsync();
        Assert.True(result.ExitCode == 0, $"{file} {string.Join(' ', arguments)}: {result}");
        return result;
    }
}
