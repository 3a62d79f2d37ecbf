using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>What is installed ahead of a VM's faults is right, and is no memory that the VM has not plugged in: the VMM looks at both.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class PrefetchTests(SnapshotImages images)
{
    [SkippableTheory]
    [InlineData("full", "run")]
    [InlineData("full", "load", "--balloon", "--seconds", "1")]
    [InlineData("sequential", "run")]
    [InlineData("sequential", "load", "--balloon", "--seconds", "1")]
    [InlineData("replayThenFull", "run")]
    public async Task Memory_that_is_not_plugged_in_stays_empty(string mode, string command, params string[] options)
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small, Policy(mode));
        for (int run = 0; run < 2; run++)
        {
            await using Emulator emulator = Emulator.Start(command, daemon.Socket, images.Small, ["--virtio-mem", "8388608", .. options]);
            await emulator.EndsWithAsync(Emulator.Right);
            await daemon.AwaitNoSessionsAsync();
        }
    }

    [SkippableTheory]
    [InlineData("full")]
    [InlineData("sequential")]
    [InlineData("replayThenFull")]
    public async Task Huge_pages_that_are_not_plugged_in_stay_empty(string mode)
    {
        using HugePages pool = HugePages.AtLeast(10);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small, Policy(mode));
        for (int run = 0; run < 2; run++)
        {
            await using Emulator emulator = Emulator.Start("run", daemon.Socket, images.Small, "--huge", "--virtio-mem", "8388608");
            await emulator.EndsWithAsync(Emulator.Right);
            await daemon.AwaitNoSessionsAsync();
        }
    }

    [SkippableFact]
    public async Task All_that_the_snapshot_has_is_there_before_the_guest_asks()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small, Policy("full"));
        await using Emulator emulator = Emulator.Start("run", daemon.Socket, images.Small, "--touch", "1", "--hold");
        await emulator.AwaitLineAsync("holds");

        // A hole is left out where a slice happens to begin with it; the guest itself has asked for some pages only.
        await daemon.AwaitMetricAsync("uffd_manager_resident_bytes", bytes => bytes >= SnapshotImages.DataBytes);
        emulator.Release();
        await emulator.EndsWithAsync(Emulator.Right);
    }

    private static object Policy(string mode) =>
        new { source = new { kind = "client" }, onUnavailable = "kill", deadline = "5s", prefetch = new { mode, recordTime = "100ms" } };
}
