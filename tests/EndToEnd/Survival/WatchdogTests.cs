using Xunit;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>A fault loop that stands still is noticed, and costs the clients nothing but the time until then.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class WatchdogTests(SurvivalSource source)
{
    [SkippableFact]
    public async Task Manager_whose_fault_loop_stands_still_is_restarted_and_clients_are_unharmed()
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions
        {
            Supervise = ["--watchdog=2", "--abort-timeout=2"],
            Environment = CrashPointTests.CrashAt("loop-turn:3000:stall"),
            Wrapper = ["env", $"UFFD_MANAGER_CRASH_ONCE={Path.Combine(Path.GetTempPath(), $"uffd-stall-{Guid.NewGuid():N}")}"],
        });
        await using LoadClient first = LoadClient.Start(manager.SocketPath, source.Path, 11, "--threads", "3");
        await using LoadClient second = LoadClient.Start(manager.SocketPath, source.Path, 12, "--kinds", "fzps", "--keeper");
        await manager.WaitForLogAsync("watchdog");
        await manager.AwaitLivesAsync(2);
        await first.AwaitProgressAsync();
        await second.AwaitProgressAsync();

        // One of the loops has stood still: who lives on the other was away only while the manager was.
        LoadResult[] results = [await first.FinishAsync(), await second.FinishAsync()];
        Assert.InRange(results.Max(result => result.Stall), TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(15));
        Assert.Equal(0, await manager.StopAsync());
    }

    [SkippableFact]
    public async Task Manager_that_is_only_busy_is_not_restarted()
    {
        await using SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Supervise = ["--watchdog=2"] });
        await using LoadClient client = LoadClient.Start(manager.SocketPath, source.Path, 13, "--threads", "6", "--fork-interval", "100", "--seconds", "6");
        int exitCode = await client.AwaitEndAsync();

        // The manager's last words of it.
        await manager.WaitForLogAsync($"of pid {client.Pid} ended");
        Assert.True(exitCode == 0, $"the client has ended with {exitCode}: {client.Output}\n{manager}");
        Assert.True(manager.Lives == 1, $"{manager}");
        Assert.Equal(0, await manager.StopAsync());
    }
}
