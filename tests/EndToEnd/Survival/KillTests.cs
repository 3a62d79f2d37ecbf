using System.Diagnostics;
using UffdManager.TestSupport;
using Xunit;
using Xunit.Abstractions;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>The manager dies at random moments under clients that know every byte of their memory.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class KillTests(SurvivalSource source, ITestOutputHelper output)
{
    // What the machine may add to an outage that the test has seen from outside.
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(4);

    [SkippableFact]
    public async Task Clients_find_every_byte_right_when_the_manager_is_killed_at_random_moments()
    {
        int kills = SurvivalSource.Setting("KILLS", 20);
        int count = SurvivalSource.Setting("CLIENTS", 4);
        int seed = SurvivalSource.Setting("SEED", Random.Shared.Next(1, int.MaxValue - 1000));
        output.WriteLine($"SEED={seed} KILLS={kills} CLIENTS={count}");
        Random random = new(seed);
        TimeSpan longest = TimeSpan.Zero;

        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        List<LoadClient> clients = [];
        try
        {
            for (int i = 0; i < count; i++)
                clients.Add(await LoadClient.Start(manager.SocketPath, source.Path, seed + i, OptionsOf(i)).AwaitAttachedAsync());
            for (int kill = 0; kill < kills; kill++)
            {
                // Now and then its successor does not live to be ready either.
                TimeSpan outage = await KillAsync(manager, random, deaths: random.Next(8) == 0 ? 2 : 1);
                longest = outage > longest ? outage : longest;
                foreach (LoadClient client in clients)
                    Assert.False(client.HasExited, $"after kill {kill + 1} of SEED={seed}: {client.Output}\n{manager}");
            }

            foreach (LoadClient client in clients)
            {
                await client.AwaitProgressAsync();
                LoadResult result = await client.FinishAsync();
                output.WriteLine($"{result}; longest outage {longest.TotalMilliseconds:0} ms");
                Assert.True(result.Stall <= longest + s_grace, $"SEED={seed}: a client {result.Stalled} for {result.Stall}, longest outage {longest}");

                // Whom a kill meets between the kernel's telling of a fork and the record of it, that child is killed: CrashPointTests force it. By chance it is rare.
                Assert.InRange(result.Orphans, 0, 2);
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new InvalidOperationException($"SEED={seed} KILLS={kills} CLIENTS={count}: {e.Message}\n{manager}", e);
        }
        finally
        {
            foreach (LoadClient client in clients)
                await client.DisposeAsync();
        }

        manager.AssertNoAccident();
        Assert.Equal(0, await manager.StopAsync());
    }

    [SkippableFact]
    public async Task Client_on_huge_pages_finds_every_byte_right_when_the_manager_is_killed()
    {
        using HugePages pool = HugePages.AtLeast(4);
        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        await using LoadClient client = LoadClient.Start(manager.SocketPath, source.Path, 5, "--kinds", "hf", "--fields", "2", "--keeper");
        await client.AwaitAttachedAsync();
        for (int kill = 0; kill < 3; kill++)
        {
            await client.AwaitProgressAsync();
            await manager.KillAndAwaitSuccessorAsync();
        }

        await client.AwaitProgressAsync();
        await client.FinishAsync();
        manager.AssertNoAccident();
    }

    // Every way to hand over, every kind of memory.
    internal static string[] OptionsOf(int client) => (client % 5) switch
    {
        0 => ["--kinds", "fz", "--fields", "6", "--threads", "3"],
        1 => ["--kinds", "fzps", "--fields", "8", "--threads", "2", "--keeper"],
        2 => ["--kinds", "fz", "--fields", "4", "--threads", "2", "--fork-interval", "400"],
        3 => ["--kinds", "fz", "--fields", "4", "--threads", "2", "--write-protect"],
        _ => ["--kinds", "fps", "--fields", "6", "--threads", "2", "--keeper", "--write-protect", "--fork-interval", "500"],
    };

    private static async Task<TimeSpan> KillAsync(SupervisedManager manager, Random random, int deaths)
    {
        await Task.Delay(random.Next(5, 600)); // lint: allowed, the moment of the kill is what is random here
        long begin = Stopwatch.GetTimestamp();
        Assert.True(manager.Kill());
        int lives = manager.Lives;
        for (int death = 1; death < deaths; death++)
        {
            await Task.Delay(random.Next(1, 1200)); // lint: allowed, as above
            _ = manager.Kill();
            lives = manager.Lives;
        }

        await manager.AwaitLivesAsync(lives + 1);
        return Stopwatch.GetElapsedTime(begin);
    }
}
