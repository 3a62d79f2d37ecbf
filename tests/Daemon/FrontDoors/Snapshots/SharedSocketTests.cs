using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Sockets: who owns them, how long they live, and how several snapshots share one.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class SharedSocketTests
{
    private const string Web = """ "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock" } """;

    [SkippableFact]
    public async Task Snapshots_of_one_socket_are_told_apart_by_who_connects()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync("""
            "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock" },
            "nobody": { "image": "gone.bin", "tenant": "vms", "socket": "@/fc.sock", "match": { "uids": [65534] } },
            "root": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "match": { "uids": [0] } }
            """);
        Require.Root();
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertHolds(host.Image);
        Assert.Equal("root", Assert.Single(host.Serving).Label);
    }

    [Fact]
    public async Task Vm_that_no_snapshot_of_the_socket_is_meant_for_is_killed_or_cannot_send()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "match": { "uids": [65534], "cgroups": ["/nowhere"] } } """);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        if (vm.Send(vm.Message(), vm.Uffd) == Errno.OK)
        {
            vm.AssertKilled();
            host.AssertKills(nameof(HandOverRefusal.NotAllowed));
        }
        else
        {
            // The door was quicker than the message: nothing was handed over.
            Assert.False(vm.Client.HasExited);
            Assert.Contains("2105 Peer turned away", host.Log.Text, StringComparison.Ordinal);
        }

        Assert.Equal([Daemon.Hosting.PeerRefusal.UnknownPeer], host.Telemetry.Refusals);
        Assert.Empty(host.Engine.Sessions());
    }

    [Theory]
    [InlineData("/a/b", 0, "/a/b/c", 5, true)]
    [InlineData("/a/b", 0, "/a/bc", 5, false)]
    [InlineData("/a/b", 5, "/other", 5, true)]
    [InlineData("/a/b", 5, null, 5, true)]
    [InlineData("/a/b", 0, null, 5, false)]
    public void Snapshot_fits_by_cgroup_or_uid(string cgroup, uint uid, string? peerCgroup, uint peerUid, bool fits)
    {
        SnapshotEntry entry = new("web", new Daemon.Configuration.SnapshotOptions
        {
            Image = "mem.bin",
            Tenant = "vms",
            Policy = "",
            Socket = new Daemon.Configuration.SnapshotSocketOptions { Path = "/run/fc.sock", Mode = 0, Timeout = TimeSpan.Zero },
            Match = new Daemon.Configuration.SnapshotMatchOptions { Uids = [uid], Cgroups = [cgroup] },
            MaxVms = 0,
        }, isConfigured: true);
        Assert.Equal(fits, entry.Fits(new Daemon.Tenancy.PeerIdentity(1, peerUid, 0, peerCgroup), startTime: 1) > 0);
    }

    [SkippableFact]
    public async Task Socket_has_the_owner_and_mode_that_were_asked_for()
    {
        Require.Root();
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "owner": "1234:5678", "mode": "0604" } """);
        Assert.Equal(Errno.OK, FileIo.TryStat(host.SocketPath, out FileStatus status));
        Assert.Equal((1234u, 5678u, 0b110_000_100u), (status.Uid, status.Gid, status.Mode & 0x1ff));
    }

    [Fact]
    public async Task Path_that_is_longer_than_an_address_is_listened_on()
    {
        string deep = string.Join('/', Enumerable.Repeat("jail-of-a-microvm-with-a-long-name", 5));
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);
        string folder = Directory.CreateDirectory(Path.Combine(host.Folder, deep)).FullName;
        await host.ApplyAsync($$""" {{Web}}, "deep": { "image": "mem.bin", "tenant": "vms", "socket": "{{folder}}/fc.sock" } """);
        using EmulatedVm vm = EmulatedVm.Boot(host);
        int directory = (int)vm.Client.Run($"open {folder} {0x200000}");
        vm.Connect($"/proc/self/fd/{directory}/fc.sock");

        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd));

        vm.AssertHolds(host.Image);
        await host.StopDoorAsync();
        Assert.Empty(Directory.GetFiles(folder));
    }

    [Fact]
    public async Task Reload_opens_and_closes_sockets_and_leaves_the_others_and_their_vms_alone()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync($$""" {{Web}}, "old": { "image": "mem.bin", "tenant": "vms", "socket": "@/old.sock" } """);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect(Path.Combine(host.Folder, "old.sock"));
        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd));
        vm.Client.ReadByte(vm.Start);
        Assert.Equal(Errno.OK, FileIo.TryStat(host.SocketPath, out FileStatus before));

        await host.ApplyAsync($$""" {{Web.Replace("mem.bin", "gone.bin", StringComparison.Ordinal)}}, "new": { "image": "mem.bin", "tenant": "vms", "socket": "@/new.sock" } """);

        Assert.False(File.Exists(Path.Combine(host.Folder, "old.sock")));
        Assert.True(File.Exists(Path.Combine(host.Folder, "new.sock")));
        Assert.Equal(Errno.OK, FileIo.TryStat(host.SocketPath, out FileStatus after));
        Assert.Equal(before.Inode, after.Inode);
        vm.AssertHolds(host.Image);
        using EmulatedVm changed = EmulatedVm.Boot(host).HandOver();
        changed.AssertKilled();
    }

    [Fact]
    public async Task Socket_of_a_dead_listener_is_taken_over_and_another_file_is_not()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);
        string stale = Path.Combine(host.Folder, "stale.sock");
        UnixSocket.Listen(stale, UnixSocketType.Stream, 1, 0x1ff).Dispose();
        string foreign = Path.Combine(host.Folder, "foreign");
        await File.WriteAllTextAsync(foreign, "mine");

        await host.ApplyAsync($$"""
            {{Web}}, "stale": { "image": "mem.bin", "tenant": "vms", "socket": "@/stale.sock" }, "foreign": { "image": "mem.bin", "tenant": "vms", "socket": "@/foreign" }
            """);

        Assert.Contains("2101 Snapshot foreign is not served", host.Log.Text, StringComparison.Ordinal);
        Assert.Equal("mine", await File.ReadAllTextAsync(foreign));
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect(stale);
        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd));
        vm.AssertHolds(host.Image);
        File.Delete(stale);
        await File.WriteAllTextAsync(stale, "mine too");
        await host.StopDoorAsync();
        Assert.Equal("mine too", await File.ReadAllTextAsync(stale));
    }
}
