using System.Diagnostics;
using UffdManager.TestSupport;
using Xunit;
using Xunit.Abstractions;

namespace UffdManager.EndToEnd.Tests.Survival;

/// <summary>What comes and goes leaves nothing behind: neither in the manager nor in the store of its supervisor.</summary>
[Collection(SurvivalCollection.Name)]
public sealed class LeakTests(SurvivalSource source, ITestOutputHelper output)
{
    [SkippableFact]
    public async Task Descriptors_threads_and_memory_are_flat_over_ten_thousand_sessions()
    {
        int sessions = SurvivalSource.Setting("SESSIONS", 10_000);

        // The heap grows to some 160 MiB over the first 50,000 sessions, in steps of several MiB, and hardly beyond: what is to be flat begins there.
        int warmUp = 5 * sessions;
        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        Footprint.Of(manager.SupervisorPid, out Footprint supervisorAtStart);
        await RunSessionsAsync(manager, warmUp);
        Footprint warm = await SettledAsync(manager, supervisorAtStart);
        await RunSessionsAsync(manager, sessions);
        Footprint end = await SettledAsync(manager, supervisorAtStart);
        output.WriteLine($"after {warmUp}: {warm}; after {sessions} more: {end}");

        Assert.InRange(end.Descriptors, 0, warm.Descriptors + 4);
        Assert.InRange(end.Threads, 0, warm.Threads + 4);

        // Two kilobytes for each session would be 20 MiB.
        Assert.InRange(end.PrivateBytes, 0, warm.PrivateBytes + (16 << 20));
        Assert.Equal(1, manager.Lives);
        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Descriptors_threads_and_memory_are_flat_over_many_restarts()
    {
        int restarts = SurvivalSource.Setting("RESTARTS", 12);
        await using SupervisedManager manager = await SupervisedManager.StartAsync();
        await using CrowdClient crowd = await CrowdClient.StartAsync(manager.SocketPath, source.Path, 50);
        await manager.KillAndAwaitSuccessorAsync();
        await crowd.TouchAsync();
        (Footprint daemon, Footprint supervisor) warm = Measure();
        for (int i = 0; i < restarts; i++)
        {
            await manager.KillAndAwaitSuccessorAsync();
            await crowd.TouchAsync();
        }

        (Footprint daemon, Footprint supervisor) end = Measure();
        output.WriteLine($"after 1: {warm}; after {restarts + 1}: {end}");
        Assert.InRange(end.supervisor.Descriptors, 0, warm.supervisor.Descriptors + 1);
        Assert.InRange(end.supervisor.PrivateBytes, 0, warm.supervisor.PrivateBytes + (1 << 20));
        Assert.InRange(end.daemon.Descriptors, 0, warm.daemon.Descriptors + 8);
        Assert.InRange(end.daemon.Threads, 0, warm.daemon.Threads + 8);
        Assert.InRange(end.daemon.PrivateBytes, 0, warm.daemon.PrivateBytes + (24 << 20));

        (Footprint Daemon, Footprint Supervisor) Measure()
        {
            Footprint.Of(manager.FindDaemon()!.Value, out Footprint daemon);
            Footprint.Of(manager.SupervisorPid, out Footprint supervisor);
            return (daemon, supervisor);
        }
    }

    private async Task RunSessionsAsync(SupervisedManager manager, int count)
    {
        using Process process = Process.Start(
            SurvivalSource.Client,
            ["sessions", "--socket", manager.SocketPath, "--source", source.Path, "--count", $"{count}", "--parallel", "4", "--pages", "16"]);
        using CancellationTokenSource patience = new(TimeSpan.FromMinutes(4));
        await process.WaitForExitAsync(patience.Token);
        Assert.Equal(0, process.ExitCode);
    }

    /// <summary>The daemon's footprint, once the last sessions have gone from it and from the store.</summary>
    private static async Task<Footprint> SettledAsync(SupervisedManager manager, Footprint supervisorAtStart)
    {
        Footprint now = default;
        await manager.AwaitAsync(
            () => Footprint.Of(manager.SupervisorPid, out now) && now.Descriptors <= supervisorAtStart.Descriptors, "an empty descriptor store");
        Assert.Equal(0, await manager.MetricAsync("uffd_manager_sessions"));
        Footprint.Of(manager.FindDaemon()!.Value, out now);
        return now;
    }
}
