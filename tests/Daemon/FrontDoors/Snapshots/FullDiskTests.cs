using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.EndToEnd.Tests;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>A full disk: what cannot be made on it is told with the reason and holds up nobody, and VMs are served.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class FullDiskTests : IDisposable
{
    private const string Web = """ "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "2s" } """;

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Socket_for_which_a_full_disk_has_no_room_is_told_and_is_served_when_there_is_some()
    {
        using SmallDisk disk = new(_directory.Combine("disk"), 64 << 10, files: 2);
        string filler = Path.Combine(disk.Path, "filler");
        await File.WriteAllTextAsync(filler, "");
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);
        string path = Path.Combine(disk.Path, "run.sock");

        SnapshotException refusal = await Assert.ThrowsAsync<SnapshotException>(() => host.ServeAsync("run", path));
        Assert.Equal(SnapshotException.Obstacle.Kernel, refusal.Kind);
        Assert.Contains("ENOSPC", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("make room", refusal.Remedy, StringComparison.Ordinal);

        // Of the configuration, it is in the list with its reason.
        string both = $$""" {{Web}}, "full": { "image": "mem.bin", "tenant": "vms", "socket": "{{path}}", "timeout": "2s" } """;
        await host.ApplyAsync(both);
        Assert.Equal(["full 0/0 failed", "web 0/0"], await host.ListAsync());
        Assert.Contains("2101 Snapshot full is not served", host.Log.Text, StringComparison.Ordinal);
        Assert.Equal([filler], Directory.GetFileSystemEntries(disk.Path));
        using EmulatedVm elsewhere = EmulatedVm.Boot(host).HandOver();
        elsewhere.AssertHolds(host.Image);

        File.Delete(filler);
        await host.ApplyAsync(both);
        await host.AwaitListedAsync("web 1/0");
        await host.AwaitListedAsync("full 0/0");
        using EmulatedVm vm = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver();
        vm.AssertHolds(host.Image);
    }

    // What a run touches is written beside the image, or where the manager keeps its state.
    [SkippableFact]
    public async Task Vms_are_served_while_the_disk_of_their_image_and_of_the_state_is_full()
    {
        using SmallDisk disk = new(_directory.Combine("disk"), 1 << 20);
        byte[] image = new byte[256 << 10];
        new Random(3).NextBytes(image);
        await File.WriteAllBytesAsync(Path.Combine(disk.Path, "mem.bin"), image);
        disk.Fill();
        string socket = _directory.Combine("fc.sock");
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            $$"""
            {
              "workingSets": { "directory": "{{disk.Path}}/working-sets" },
              "policies": { "vm": { "source": { "kind": "client" }, "prefetch": { "mode": "replay", "recordTime": "10ms" } } },
              "tenants": { "vms": { "default": true, "defaultPolicy": "vm", "sourceDirectories": ["{{disk.Path}}"] } },
              "snapshots": { "web": { "image": "mem.bin", "tenant": "vms", "socket": "{{socket}}", "timeout": "2s" } }
            }
            """);
        using (EmulatedVm vm = EmulatedVm.Boot(socket, (ulong)image.Length).HandOver())
            vm.AssertHolds(image);
        await daemon.WaitForLogAsync("ENOSPC");
        using EmulatedVm next = EmulatedVm.Boot(socket, (ulong)image.Length).HandOver();
        next.AssertHolds(image);
        Assert.DoesNotContain(daemon.LogLines, line => line.Contains("VM killed", StringComparison.Ordinal));
    }
}
