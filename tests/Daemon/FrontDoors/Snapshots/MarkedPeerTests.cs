using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>A manager that was killed between the mark of a connection, and what it was about to take out of it, has taken nothing.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class MarkedPeerTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("1.1")]
    [InlineData("1.12")]
    public async Task Vm_of_whose_marked_message_nothing_was_taken_is_served_by_the_next_manager(string version)
    {
        string path = _directory.Combine("fc.sock");
        SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 8, 0b110_000_000);
        using EmulatedVm vm = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver(version);
        await using SnapshotHost host = await SnapshotHost.StartAsync("", inherited: Marked(listener, path));

        vm.AssertHolds(host.Image);
        Assert.Empty(host.Telemetry.Kills);
        await host.AwaitListedAsync("run 1/0");
    }

    // Whether the rest is still to come, or has been sent and taken, cannot be told.
    [Theory]
    [InlineData("[ ")]
    [InlineData("")]
    [InlineData("] }")]
    public async Task Vm_of_whose_marked_message_not_all_is_there_is_killed(string text)
    {
        string path = _directory.Combine("fc.sock");
        SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 8, 0b110_000_000);
        using EmulatedVm vm = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).Connect();
        if (text.Length > 0)
            Assert.Equal(Errno.OK, vm.Send(text, vm.Uffd));
        await using SnapshotHost host = await SnapshotHost.StartAsync("", inherited: Marked(listener, path));

        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.Incomplete));
        Assert.Contains("ended in the middle of its message", host.Log.Text, StringComparison.Ordinal);
    }

    // The one who waits at the listener was accepted, stored and marked.
    private static List<StoredDescriptor> Marked(SafeSocketFd listener, string path)
    {
        SafeSocketFd peer = UnixSocket.TryAccept(listener, out _)!;
        Assert.Equal(Errno.OK, FileIo.TryStat(path, out FileStatus file));
        SnapshotSocketOptions socket = new() { Path = path, Mode = 0b110_000_000, Timeout = TimeSpan.FromSeconds(60) };
        SafeMemfd memory = Memfd.Create("document", MemfdFlags.None);
        byte[] document = new SnapshotSocketDocument
        {
            Socket = socket,
            Device = file.Device,
            Inode = file.Inode,
            Tenant = "vms",
            Snapshots = new Dictionary<string, SnapshotOptions>
            {
                ["run"] = new() { Image = "mem.bin", Tenant = "vms", Policy = "", Socket = socket, Match = new SnapshotMatchOptions { Uids = [], Cgroups = [] }, MaxVms = 0 },
            },
        }.Encode();
        Assert.Equal(Errno.OK, FileIo.WriteAll(memory, document, 0));
        return
        [
            new("snapshot-3", listener),
            new("snapshot-3-document-4", memory),
            new("snapshot-3-peer-5", peer),
            new("snapshot-3-taken-5", Memfd.Create("mark", MemfdFlags.None)),
        ];
    }
}
