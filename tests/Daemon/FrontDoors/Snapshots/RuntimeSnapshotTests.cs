using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Snapshots that are served and stopped at run time.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class RuntimeSnapshotTests
{
    private const string Web = """ "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "2s" } """;

    [Fact]
    public async Task Snapshot_is_served_until_it_is_stopped_and_its_vms_go_on()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);
        string path = Path.Combine(host.Folder, "run.sock");

        (SnapshotView view, bool isNew) = await host.ServeAsync("run", "run.sock");

        Assert.Equal(("run", false, true), (view.Name, view.IsConfigured, isNew));
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect(path);
        Assert.Equal(Errno.OK, vm.Send(vm.Message(), vm.Uffd));
        Assert.Equal(host.Image[0], vm.Client.ReadByte(vm.Start));
        Eventually.True(() => host.Telemetry.Requests.Count == 1, "the hand-over");
        await host.AwaitListedAsync("run 1/0");
        await host.AwaitListedAsync("web 0/0");

        // Once more the same is no mistake.
        Assert.False((await host.ServeAsync("RUN", "run.sock")).IsNew);
        await host.StopServingAsync("run");

        Assert.False(File.Exists(path));
        Assert.Equal(["web 0/0"], await host.ListAsync());
        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Snapshot_that_is_asked_for_again_while_its_socket_is_made_is_there_when_both_are_answered()
    {
        PacedStore store = new() { HoldsBarriers = true };
        await using SnapshotHost host = await SnapshotHost.StartAsync("", store: store);
        Task<(SnapshotView View, bool IsNew)> first = host.ServeAsync("run", "run.sock");
        Eventually.True(() => store.Barriers == 1, "the socket to wait until it is kept");
        Task<(SnapshotView View, bool IsNew)> again = host.ServeAsync("run", "run.sock");

        // The front door has turned since, and no socket is there.
        await host.ListAsync();
        await host.ListAsync();
        Assert.False(again.IsCompleted);
        store.Release();
        Assert.True((await first).IsNew);
        Assert.False((await again).IsNew);
        using EmulatedVm vm = EmulatedVm.Boot(Path.Combine(host.Folder, "run.sock"), SnapshotHost.ImageBytes).HandOver();
        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Sockets_that_are_made_together_wait_for_one_message_of_the_service_manager()
    {
        const int Sockets = 40;
        PacedStore store = new() { HoldsBarriers = true };
        Task<SnapshotHost> starting = SnapshotHost.StartAsync(
            string.Join(',', Enumerable.Range(0, Sockets).Select(i => $$""" "s{{i}}": { "image": "mem.bin", "tenant": "vms", "socket": "@/{{i}}.sock" } """)), store: store);

        // Document and listener of each.
        Eventually.True(() => store.Stored.Count == 2 * Sockets && store.Barriers == 1, "all of them to wait");
        store.Release();
        await using SnapshotHost host = await starting;
        Assert.InRange(store.Barriers, 1, 2);
        Assert.Equal(Sockets, (await host.ListAsync()).Length);
        using EmulatedVm vm = EmulatedVm.Boot(Path.Combine(host.Folder, "39.sock"), SnapshotHost.ImageBytes).HandOver();
        vm.AssertHolds(host.Image);
    }

    [Theory]
    [InlineData("web", "run.sock", "mem.bin", "vms", "Conflict", "it is another one")]
    [InlineData("run", "fc.sock", "mem.bin", "vms", "Conflict", "everybody of that socket belongs to snapshot web")]
    [InlineData("run", "run.sock", "gone.bin", "vms", "Request", "No such file")]
    [InlineData("run", "run.sock", "/etc/passwd", "vms", "Request", "is not below a source directory")]
    [InlineData("run", "run.sock", "mem.bin", "nobody", "Request", "there is no tenant")]
    [InlineData("run", "none/run.sock", "mem.bin", "vms", "Kernel", "ENOENT")]
    [InlineData("run", "mem.bin", "mem.bin", "vms", "Kernel", "EEXIST")]
    public async Task What_cannot_be_served_is_refused_with_the_reason_and_changes_nothing(string name, string socket, string image, string tenant, string kind, string text)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);

        SnapshotException refusal = await Assert.ThrowsAsync<SnapshotException>(() => host.ServeAsync(name, socket, image, tenant));

        Assert.Equal(kind, refusal.Kind.ToString());
        Assert.Contains(text, refusal.Message, StringComparison.OrdinalIgnoreCase);
        Assert.NotEmpty(refusal.Remedy);
        Assert.Equal(["web 0/0"], await host.ListAsync());
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Socket_is_shared_only_with_the_same_mode_and_stays_while_anybody_needs_it()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);
        SnapshotMatchOptions nobody = new() { Uids = [65534], Cgroups = [] };
        await host.ServeAsync("a", "run.sock");
        await Assert.ThrowsAsync<SnapshotException>(() => host.ServeAsync("b", "run.sock", match: nobody, mode: 0b110_000_000));
        await host.ServeAsync("b", "run.sock", match: nobody);

        await host.StopServingAsync("a");

        Assert.True(File.Exists(Path.Combine(host.Folder, "run.sock")));
        await host.StopServingAsync("b");
        Assert.False(File.Exists(Path.Combine(host.Folder, "run.sock")));
        Assert.Equal(SnapshotException.Obstacle.NotFound, (await Assert.ThrowsAsync<SnapshotException>(() => host.StopServingAsync("b"))).Kind);
        Assert.Equal(SnapshotException.Obstacle.Conflict, (await Assert.ThrowsAsync<SnapshotException>(() => host.StopServingAsync("web"))).Kind);
    }

    [Fact]
    public async Task Process_that_was_registered_in_advance_gets_its_snapshot_and_is_forgotten_with_its_end()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "other": { "image": "gone.bin", "tenant": "vms", "socket": "@/fc.sock" } """);
        using (EmulatedVm vm = EmulatedVm.Boot(host))
        {
            Assert.True(ProcessInfo.TryReadStartTime(vm.Client.Pid, out ulong startTime));
            await Assert.ThrowsAsync<SnapshotException>(() => host.ServeAsync("mine", SnapshotHost.SocketName));
            await host.ApplyAsync(""" "other": { "image": "gone.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "2s" } """);
            SnapshotView view = (await host.ServeAsync(null, SnapshotHost.SocketName, match: new() { Uids = [], Cgroups = [], Processes = [new(vm.Client.Pid, startTime)] })).View;
            Assert.Equal("snapshot-1", view.Name);
            vm.HandOver().AssertHolds(host.Image);

            // A snapshot is not forgotten while a VM of it is on its way in.
            await host.AwaitListedAsync("snapshot-1 1/0");
            using EmulatedVm another = EmulatedVm.Boot(host).HandOver();
            another.AssertKilled();
            Assert.Equal("snapshot-1", Assert.Single(host.Serving).Label);
        }

        await host.ServeAsync("new", "new.sock");
        Assert.DoesNotContain(await host.ListAsync(), line => line.StartsWith("snapshot-1", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Configuration_takes_a_name_back_and_leaves_other_snapshots_of_run_time_alone()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web);
        await host.ServeAsync("run", "run.sock");
        await host.ServeAsync("later", "later.sock");

        await host.ApplyAsync(""" "later": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock" } """);

        Assert.Equal(["later 0/0", "run 0/0"], await host.ListAsync());
        Assert.False(File.Exists(Path.Combine(host.Folder, "later.sock")));
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertHolds(host.Image);
        Assert.Equal("later", Assert.Single(host.Serving).Label);
    }
}
