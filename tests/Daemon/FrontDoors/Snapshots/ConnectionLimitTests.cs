using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Who connects and says nothing takes places: a VM for which there is none waits, and is not killed for it.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class ConnectionLimitTests : IDisposable
{
    private const string Two = """
        "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "60s" }, "other": { "image": "mem.bin", "tenant": "vms", "socket": "@/other.sock", "timeout": "60s" }
        """;

    private readonly PacedStore _store = new();
    private readonly List<SafeSocketFd> _silent = [];

    public void Dispose() => _silent.ForEach(connection => connection.Dispose());

    [Theory]
    [InlineData(2, "", nameof(AdmissionPause.ListenerFull), "the manager has its 2 connections", "raise listen.maxConnections")]
    [InlineData(64, "\"connections\": 2", nameof(AdmissionPause.ConnectionLimit), "tenant vms has as many connections as it may", "raise tenants.vms.limits.connections")]
    public async Task Vm_waits_unaccepted_while_silent_strangers_at_another_socket_have_every_place_and_is_served_then(int most, string limits, string reason, string text, string remedy)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(Two, limits, store: _store, maxConnections: most);
        BeSilent(Path.Combine(host.Folder, "other.sock"), 2);
        Eventually.True(() => host.Telemetry.Open == 2, "the strangers to be let in");

        // The turn in which they were is over, and nobody waits yet.
        await host.ListAsync();
        Assert.Empty(host.Telemetry.Pauses);
        Assert.DoesNotContain("2115 ", host.Log.Text, StringComparison.Ordinal);
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();

        Eventually.True(() => host.Log.Text.Contains("2115 Who connects", StringComparison.Ordinal), "the pause");
        Assert.Contains(text, host.Log.Text, StringComparison.Ordinal);
        Assert.Contains(remedy, host.Log.Text, StringComparison.Ordinal);
        Assert.Contains(reason, host.Telemetry.Pauses.Select(pause => pause.ToString()));
        Assert.Equal(2, _store.Peers);
        _silent[0].Dispose();
        vm.AssertHolds(host.Image);
        Assert.Empty(host.Telemetry.Refusals);
        Assert.Empty(host.Telemetry.Kills);
    }

    [Fact]
    public async Task Vm_whose_tenant_alone_has_no_place_at_a_shared_socket_waits_until_there_is_one()
    {
        await using SnapshotHost host = await StartSharedAsync("60s");
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();

        // The other tenant has room: it is let in, and stored.
        Eventually.True(() => _store.Peers == 2, "the VM in the store");
        PendingReply read = vm.Client.Begin($"read {vm.Start}", 1);
        await host.ListAsync();
        Assert.False(read.IsCompleted);
        Assert.Equal(1, host.Telemetry.Open);
        _silent[0].Dispose();
        Assert.Equal(host.Image[0], read.AwaitValue());
        Assert.Empty(host.Telemetry.Refusals);
    }

    [Fact]
    public async Task Vm_for_which_no_place_comes_free_in_time_is_killed_and_counted_and_the_line_names_the_remedy()
    {
        await using SnapshotHost host = await StartSharedAsync("300ms");

        // The time runs from when it is accepted: its message must have been sent by then.
        _store.IsBehind = true;
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        _store.IsBehind = false;

        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.Limit));
        Assert.Equal([PeerRefusal.ConnectionLimit], host.Telemetry.Refusals);
        Assert.Contains("tenant vms has its 1 connections", host.Log.Text, StringComparison.Ordinal);
        Assert.Contains("raise tenants.vms.limits.connections", host.Log.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(200, true)]
    public async Task User_with_many_connections_that_hand_nothing_over_loses_those_above_its_share_soon(int bytes, bool isBehind)
    {
        const int Share = 64;
        const int Above = 16;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Two, store: _store, maxConnections: 4096);

        // Nobody is let in, and no time runs, before all is sent.
        _store.IsBehind = true;
        BeSilent(host.SocketPath, Share + Above);
        byte[] text = System.Text.Encoding.UTF8.GetBytes("[".PadRight(bytes));
        if (bytes > 0 && !isBehind)
            _silent.ForEach(connection => Assert.Equal(Errno.OK, UnixSocket.Send(connection, text, [], dontWait: false)));

        // The same user: who has handed its memory over is not among them.
        using EmulatedVm slow = EmulatedVm.Boot(host).Connect();
        Assert.Equal(Errno.OK, slow.Send(slow.Message()[..20], slow.Uffd));
        _store.IsBehind = false;
        if (isBehind)
        {
            // Those whose text is to be taken are looked at again and again until it may be, and then not before their time is over. (Who has lost its connection already, on a slow machine, hears of it.)
            Eventually.True(() => _store.Peers == Share + Above + 1, "all to be let in");
            _store.IsBehind = true;
            _silent.ForEach(connection => Assert.Contains(UnixSocket.Send(connection, text, [], dontWait: false), new[] { Errno.OK, Errno.EPIPE }));
            int asked = _store.Asked;
            Eventually.True(() => _store.Asked > asked + (4 * (Share + Above)), "all to be looked at");
            _store.IsBehind = false;
        }

        Eventually.True(() => host.Telemetry.Errors.Count == Above && host.Telemetry.Open == Share + 1, "those above the share to lose their connections");
        Assert.All(host.Telemetry.Errors, error => Assert.Equal(ProtocolErrorReason.FirstMessageTimeout, error));
        Assert.Contains("many connections at this socket that hand nothing over", host.Log.Text, StringComparison.Ordinal);
        Assert.Equal(Errno.OK, slow.Send(slow.Message()[20..]));
        slow.AssertHolds(host.Image);
        Assert.Empty(host.Telemetry.Kills);
    }

    [Fact]
    public async Task Lines_of_one_socket_do_not_keep_back_what_is_told_of_all()
    {
        const int Lines = 10;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Two, store: _store, maxConnections: 4096);
        for (int i = 0; Count("hand nothing over (") < Lines; i++)
        {
            // As long as the queue has room.
            if (i < AdmissionPace.Burst + 512)
                UnixSocket.Connect(host.SocketPath, UnixSocketType.Stream).Dispose();
            else
                await host.ListAsync();
        }

        _store.IsBehind = true;
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect(Path.Combine(host.Folder, "other.sock"));
        Eventually.True(() => Count("does not read what it is to keep") > 0, "the line about the service manager");
        _store.IsBehind = false;

        int Count(string text) => host.Log.Text.Split(text).Length - 1;
    }

    private async Task<SnapshotHost> StartSharedAsync(string timeout)
    {
        SnapshotHost host = await SnapshotHost.StartAsync(
            $$"""
            "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "{{timeout}}" },
            "rest": { "image": "mem.bin", "tenant": "poor", "socket": "@/fc.sock", "timeout": "{{timeout}}", "match": { "uids": [65534] } },
            "other": { "image": "mem.bin", "tenant": "vms", "socket": "@/other.sock", "timeout": "60s" }
            """,
            "\"connections\": 1",
            store: _store);
        BeSilent(Path.Combine(host.Folder, "other.sock"), 1);
        Eventually.True(() => host.Telemetry.Open == 1, "the stranger to be let in");
        return host;
    }

    private void BeSilent(string socket, int times)
    {
        for (int i = 0; i < times; i++)
            _silent.Add(UnixSocket.Connect(socket, UnixSocketType.Stream));
    }
}
