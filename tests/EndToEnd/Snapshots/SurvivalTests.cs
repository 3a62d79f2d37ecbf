using System.Diagnostics;
using UffdManager.EndToEnd.Tests.Survival;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;
using Xunit.Abstractions;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>VMs outlive the manager that serves them: a stall, and every byte right.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class SurvivalTests(SnapshotImages images, ITestOutputHelper output)
{
    [SkippableFact]
    public async Task Vms_find_every_byte_right_when_the_manager_is_killed_at_random_moments()
    {
        int seed = SurvivalSource.Setting("SEED", Random.Shared.Next(1, int.MaxValue - 1000));
        output.WriteLine($"SEED={seed}");
        Random random = new(seed);
        using TempDirectory directory = new();
        string socket = directory.Combine("snapshot.sock");
        await using SupervisedManager manager = await StartAsync(socket);
        string[][] kinds =
        [
            ["--version", "1.4", "--balloon"], ["--version", "1.11", "--balloon"], ["--reporting"], ["--virtio-mem", "8388608", "--balloon"],
            ["--sync-wp", "--balloon"],
        ];
        List<Emulator> emulators = [];
        try
        {
            for (int i = 0; i < kinds.Length; i++)
                emulators.Add(Emulator.Start("load", socket, images.Small, ["--seconds", "0", "--pace", "300", "--seed", $"{seed + i}", .. kinds[i]]));
            foreach (Emulator emulator in emulators)
                await emulator.AwaitProgressAsync();
            for (int kill = 0; kill < 8; kill++)
            {
                await Task.Delay(random.Next(5, 500)); // lint: allowed, the moment of the kill is what is random here
                await manager.KillAndAwaitSuccessorAsync();
                Assert.All(emulators, emulator => Assert.False(emulator.HasExited, $"after kill {kill + 1} of SEED={seed}: {emulator.Output}\n{manager}"));
            }

            foreach (Emulator emulator in emulators)
            {
                await emulator.AwaitProgressAsync();
                emulator.Terminate();
                await emulator.EndsWithAsync(Emulator.Right);
                output.WriteLine(await emulator.AwaitLineAsync("ok"));
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new InvalidOperationException($"SEED={seed}: {e.Message}\n{manager}", e);
        }
        finally
        {
            foreach (Emulator emulator in emulators)
                await emulator.DisposeAsync();
        }

        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Vms_that_connect_while_there_is_no_manager_are_served_by_the_next_one()
    {
        using TempDirectory directory = new();
        string socket = directory.Combine("snapshot.sock");
        await using SupervisedManager manager = await StartAsync(socket);
        await using Emulator before = Emulator.Start("run", socket, images.Small);
        await before.EndsWithAsync(Emulator.Right);
        for (int kill = 0; kill < 3; kill++)
        {
            int lives = manager.Lives;
            Assert.True(manager.Kill());
            await using Emulator emulator = Emulator.Start("run", socket, images.Small);
            await emulator.EndsWithAsync(Emulator.Right);
            await manager.AwaitLivesAsync(lives + 1);
        }

        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Hand_over_that_the_manager_dies_in_is_carried_to_its_end_by_the_next_one()
    {
        using TempDirectory directory = new();
        string socket = directory.Combine("snapshot.sock");
        await using SupervisedManager manager = await StartAsync(socket);

        // The manager is killed while the message comes, byte by byte.
        await using Emulator emulator = Emulator.Start("run", socket, images.Small, "--send-pace", "1000");
        await Task.Delay(100); // lint: allowed, a moment in the middle of what is promised to take 200 ms
        await manager.KillAndAwaitSuccessorAsync();
        await emulator.EndsWithAsync(Emulator.Right);
        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Guest_on_kvm_reads_what_it_must_when_the_manager_is_killed()
    {
        Require.That(File.Exists("/dev/kvm"), "needs /dev/kvm");
        using TempDirectory directory = new();
        string socket = directory.Combine("snapshot.sock");
        await using SupervisedManager manager = await StartAsync(socket, images.Guest);

        // The first of all connections meets code that is compiled between its accept(2) and the datagram that stores it: there a few instructions are milliseconds, and who is killed in them loses it.
        await using (Emulator before = Emulator.StartMicroguest("run", socket, images.Guest, "--vcpus", "1"))
        {
            int first = await before.AwaitEndAsync();
            Require.That(first != Emulator.Unable, before.Output);
            Assert.True(first == Emulator.Right, $"{before.Output}\n{manager}");
        }

        await using Emulator guest = Emulator.StartMicroguest("run", socket, images.Guest, "--vcpus", "2");
        await guest.AwaitLineAsync("handed-over");
        await manager.KillAndAwaitSuccessorAsync();
        int exitCode = await guest.AwaitEndAsync();
        Require.That(exitCode != Emulator.Unable, guest.Output);
        Assert.True(exitCode == Emulator.Right, $"{guest.Output}\n{manager}");
        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Vms_wait_for_a_hand_over_to_the_next_manager_and_lose_nothing()
    {
        using TempDirectory directory = new();
        string socket = directory.Combine("snapshot.sock");
        await using SupervisedManager manager = await StartAsync(socket);
        await using Emulator emulator = Emulator.Start("load", socket, images.Small, "--seconds", "0", "--pace", "300", "--balloon", "--version", "1.11");
        await emulator.AwaitProgressAsync();
        for (int i = 0; i < 2; i++)
        {
            await manager.HandOverAsync();
            await emulator.AwaitProgressAsync();
        }

        emulator.Terminate();
        await emulator.EndsWithAsync(Emulator.Right);
        manager.AssertNoAccident();
    }

    [SkippableFact]
    public async Task Vm_that_dies_while_there_is_no_manager_leaves_nothing_behind()
    {
        using TempDirectory directory = new();
        string socket = directory.Combine("snapshot.sock");
        await using SupervisedManager manager = await StartAsync(socket);
        await using Emulator emulator = Emulator.Start("load", socket, images.Small, "--seconds", "0", "--balloon");
        await emulator.AwaitProgressAsync();
        int lives = manager.Lives;
        Assert.True(manager.Kill());
        emulator.Kill();
        await emulator.EndsWithAsync(Emulator.Killed);
        await manager.AwaitLivesAsync(lives + 1);
        long begin = Stopwatch.GetTimestamp();
        while (await manager.MetricAsync("uffd_manager_sessions") > 0)
            Assert.True(Stopwatch.GetElapsedTime(begin) < TimeSpan.FromSeconds(20), manager.ToString());
    }

    private Task<SupervisedManager> StartAsync(string socket) => StartAsync(socket, images.Small);

    private static async Task<SupervisedManager> StartAsync(string socket, string image)
    {
        SupervisedManager manager = await SupervisedManager.StartAsync(new SupervisedOptions { Configuration = SnapshotConfiguration.For(image, socket) });
        await manager.WaitForLogAsync("is served at");
        return manager;
    }
}
