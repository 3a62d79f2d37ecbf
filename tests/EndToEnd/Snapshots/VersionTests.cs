using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests.Snapshots;

/// <summary>VMs of every release find every byte right, whatever their message and their memory are like.</summary>
[Collection(SnapshotCollection.Name)]
public sealed class VersionTests(SnapshotImages images)
{
    [SkippableFact]
    public async Task Every_release_finds_every_byte_right_with_a_balloon()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        string[] versions = ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "1.10", "1.11", "1.12", "1.13", "1.14", "2.0"];
        foreach (string version in versions)
        {
            await using Emulator scan = Emulator.Start("run", daemon.Socket, images.Small, "--version", version);
            await scan.EndsWithAsync(Emulator.Right);
            await using Emulator balloon = Emulator.Start("load", daemon.Socket, images.Small, "--version", version, "--balloon", "--seconds", "1");
            await balloon.EndsWithAsync(Emulator.Right);
        }

        await daemon.AwaitNoSessionsAsync();
        Assert.Equal(0, await daemon.MetricAsync("uffd_manager_vms_killed_total"));
    }

    [SkippableTheory]
    [InlineData("run", "--regions", "1")]
    [InlineData("run", "--regions", "7")]
    [InlineData("run", "--send-pace", "500", "--unknown-keys")]
    [InlineData("run", "--transparent")]
    [InlineData("load", "--virtio-mem", "8388608", "--balloon", "--seconds", "2")]
    [InlineData("load", "--reporting", "--threads", "4", "--seconds", "2")]
    [InlineData("load", "--storm", "--threads", "2", "--seconds", "2")]
    [InlineData("load", "--fork", "--balloon", "--seconds", "1")]
    [InlineData("load", "--sync-wp", "--balloon", "--seconds", "1")]
    [InlineData("load", "--memfd", "--balloon", "--seconds", "1")]
    [InlineData("load", "--memfd", "--sync-wp", "--balloon", "--seconds", "1")]
    public async Task Memory_of_every_kind_is_right(string mode, params string[] options)
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using Emulator emulator = Emulator.Start(mode, daemon.Socket, images.Small, options);
        await emulator.EndsWithAsync(Emulator.Right);
    }

    [SkippableTheory]
    [InlineData("--version", "1.7")]
    [InlineData("--version", "1.14")]
    [InlineData("--fork")]
    [InlineData("--sync-wp")]
    [InlineData("--memfd")]
    [InlineData("--memfd", "--sync-wp")]
    public async Task Memory_of_huge_pages_is_right_while_a_balloon_takes_it(params string[] options)
    {
        using HugePages pool = HugePages.AtLeast(10);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using Emulator emulator = Emulator.Start(
            "load", daemon.Socket, images.Small, ["--length", "8388608", "--huge", "--regions", "2", "--balloon", "--seconds", "1", .. options]);
        await emulator.EndsWithAsync(Emulator.Right);
    }

    [SkippableFact]
    public async Task Clones_of_one_snapshot_are_right_all_at_the_same_time()
    {
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Small);
        await using Emulator emulator = Emulator.Start("clones", daemon.Socket, images.Small, "--clones", "64", "--touch", "256", "--hold");
        await emulator.AwaitLineAsync("holds");
        Assert.Equal(64, await daemon.MetricAsync("uffd_manager_sessions"));
        emulator.Release();
        await emulator.EndsWithAsync(Emulator.Right);
        await daemon.AwaitNoSessionsAsync();
    }

    [SkippableTheory]
    [InlineData("--vcpus", "2")]
    [InlineData("--vcpus", "4", "--regions", "3", "--version", "1.10")]
    [InlineData("--vcpus", "2", "--version", "1.11")]
    public async Task Guest_on_kvm_reads_what_it_must(params string[] options)
    {
        Require.That(File.Exists("/dev/kvm"), "needs /dev/kvm");
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Guest);
        await using Emulator guest = Emulator.StartMicroguest("run", daemon.Socket, images.Guest, options);
        int exitCode = await guest.AwaitEndAsync();
        Require.That(exitCode != Emulator.Unable, guest.Output);
        Assert.True(exitCode == Emulator.Right, guest.Output);
    }

    [SkippableFact]
    public async Task Guest_on_kvm_reads_what_it_must_from_huge_pages()
    {
        Require.That(File.Exists("/dev/kvm"), "needs /dev/kvm");
        using HugePages pool = HugePages.AtLeast(6);
        await using SnapshotDaemon daemon = await SnapshotDaemon.StartAsync(images.Guest);
        await using Emulator guest = Emulator.StartMicroguest("run", daemon.Socket, images.Guest, "--huge");
        int exitCode = await guest.AwaitEndAsync();
        Require.That(exitCode != Emulator.Unable, guest.Output);
        Assert.True(exitCode == Emulator.Right, guest.Output);
    }
}
