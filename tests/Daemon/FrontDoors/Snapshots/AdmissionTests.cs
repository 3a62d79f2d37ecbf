using System.Diagnostics;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Who connects costs the service manager something before anybody knows who it is: so strangers are let in no faster than it can bear, and none of them is lost.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class AdmissionTests
{
    private const string Two = """
        "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "2s" }, "other": { "image": "mem.bin", "tenant": "vms", "socket": "@/other.sock", "timeout": "2s" }
        """;

    private readonly PacedStore _store = new();

    [Fact]
    public async Task Vm_waits_unaccepted_while_the_service_manager_is_behind_and_is_served_then()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(store: _store);
        _store.IsBehind = true;
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();

        // Whether it waits at all is told by the line; nobody has accepted it at any later moment either, as that would have been stored.
        Eventually.True(() => host.Log.Text.Contains("2115 Who connects", StringComparison.Ordinal), "the pause");
        Assert.Contains("does not read what it is to keep", host.Log.Text, StringComparison.Ordinal);
        Assert.Equal((0, 0), (_store.Peers, host.Telemetry.Open));
        _store.IsBehind = false;
        vm.AssertHolds(host.Image);
        Assert.Equal(1, _store.Peers);
    }

    [Fact]
    public async Task Stranger_that_connects_without_end_is_let_in_at_a_pace_and_nobody_else_waits_for_it()
    {
        const int Strangers = AdmissionPace.Burst + 48;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Two, store: _store, maxConnections: 4096);
        Stopwatch clock = Stopwatch.StartNew();
        for (int i = 0; i < Strangers; i++)
        {
            using SafeSocketFd connection = UnixSocket.Connect(host.SocketPath, UnixSocketType.Stream);
        }

        using EmulatedVm behind = EmulatedVm.Boot(host).HandOver();
        using EmulatedVm elsewhere = EmulatedVm.Boot(host).Connect(Path.Combine(host.Folder, "other.sock"));
        Assert.Equal(Errno.OK, elsewhere.Send(elsewhere.Message(), elsewhere.Uffd));
        elsewhere.AssertHolds(host.Image);
        int letIn = _store.Peers - 1;
        Assert.InRange(letIn, 1, AdmissionPace.Burst + 1 + (int)(clock.Elapsed.TotalSeconds * AdmissionPace.PerSecond));

        // In its turn.
        behind.AssertHolds(host.Image);
        Assert.Equal(Strangers + 2, _store.Peers);
        Assert.InRange(clock.Elapsed.TotalSeconds, (Strangers - AdmissionPace.Burst) / (double)AdmissionPace.PerSecond, double.MaxValue);
        Assert.Contains("hand nothing over", host.Log.Text, StringComparison.Ordinal);
        Eventually.True(() => _store.Removed.Count(name => name.Contains("-peer-", StringComparison.Ordinal)) == Strangers + 2, "all of them to be taken out again");
    }

    [Fact]
    public async Task Strangers_that_say_nothing_take_so_many_places_of_the_service_manager_and_no_more()
    {
        const int Most = 256;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Two, store: _store, maxConnections: 4096);
        List<SafeSocketFd> silent = [];
        try
        {
            for (int i = 0; i < Most; i++)
                silent.Add(UnixSocket.Connect(host.SocketPath, UnixSocketType.Stream));
            using EmulatedVm behind = EmulatedVm.Boot(host).HandOver();
            Eventually.True(() => host.Log.Text.Contains($"{Most} who connected before", StringComparison.Ordinal) || behind.Client.ReadByte(behind.Start) == host.Image[0], "the pause, or its end");
            using EmulatedVm elsewhere = EmulatedVm.Boot(host).Connect(Path.Combine(host.Folder, "other.sock"));
            Assert.Equal(Errno.OK, elsewhere.Send(elsewhere.Message(), elsewhere.Uffd));
            elsewhere.AssertHolds(host.Image);

            // The first of them lose their connections when their time is over.
            behind.AssertHolds(host.Image);
            Assert.InRange(host.Telemetry.Errors.Count, 1, Most);
            Assert.Empty(host.Telemetry.Refusals);
        }
        finally
        {
            silent.ForEach(connection => connection.Dispose());
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Message_in_pieces_is_not_taken_while_the_service_manager_would_not_hear_of_it(bool uffdFirst)
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "20s" } """, store: _store);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        Eventually.True(() => _store.Peers == 1, "the connection in the store");
        _store.IsBehind = uffdFirst;
        SafeFd[] memory = [vm.Uffd];
        Assert.Equal(Errno.OK, vm.Send("[" + new string(' ', 200), uffdFirst ? memory : []));
        if (!uffdFirst)
        {
            // Text alone is nobody's memory: it is taken out of the store until some comes.
            Eventually.True(() => _store.Removed.Any(IsPeer), "the connection to be taken out of the store");
            _store.IsBehind = true;
            Assert.Equal(Errno.OK, vm.Send(" ", memory));
        }

        // In the second of them at the latest it was looked at what had come before the first.
        await host.ListAsync();
        await host.ListAsync();
        await host.ListAsync();
        Assert.DoesNotContain(_store.Stored, IsMark);
        Assert.Equal(1, _store.Peers);
        _store.IsBehind = false;
        Eventually.True(() => _store.Stored.Any(IsMark), "the mark");
        Assert.Equal(uffdFirst ? 1 : 2, _store.Peers);
        Assert.Equal(Errno.OK, vm.Send(vm.Message()[1..]));
        vm.AssertHolds(host.Image);

        static bool IsPeer(string name) => name.Contains("-peer-", StringComparison.Ordinal);
        static bool IsMark(string name) => name.Contains("-taken-", StringComparison.Ordinal);
    }

    // There was room when it was asked, and somebody else has used it up: the mark lies in this process, which may be killed.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Message_in_pieces_is_not_taken_while_its_mark_has_not_left_this_process(bool uffdFirst)
    {
        PacedStore store = new() { KeepsPeer = true };
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "20s" } """, store: store);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        Eventually.True(() => store.Peers == 1, "the connection in the store");
        using System.Net.Sockets.Socket connection = UnixSocket.GiveAway(store.Peer!);
        store.IsUnsettled = uffdFirst;
        SafeFd[] memory = [vm.Uffd];
        string text = "[" + new string(' ', 200);
        Assert.Equal(Errno.OK, vm.Send(text, uffdFirst ? memory : []));
        if (!uffdFirst)
        {
            Eventually.True(() => connection.Available == 0, "the text, which is nobody's memory, to be taken");
            store.IsUnsettled = true;
            Assert.Equal(Errno.OK, vm.Send(" ", memory));
        }

        Eventually.True(() => store.Stored.Any(name => name.Contains("-taken-", StringComparison.Ordinal)), "the mark");
        await host.ListAsync();
        await host.ListAsync();
        await host.ListAsync();
        Assert.Equal(uffdFirst ? text.Length : 1, connection.Available);
        Assert.Equal(uffdFirst ? 1 : 2, store.Peers);
        store.IsUnsettled = false;
        Eventually.True(() => connection.Available == 0, "the rest to be taken");
        Assert.Equal(Errno.OK, vm.Send(vm.Message()[1..]));
        vm.AssertHolds(host.Image);
        store.Peer?.Dispose();
    }

    // Others fill the queue again and again: that its own mark has gone is enough.
    [Fact]
    public async Task Message_in_pieces_does_not_wait_for_what_others_store_once_its_mark_has_gone()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(""" "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "60s" } """, store: _store);
        using EmulatedVm vm = EmulatedVm.Boot(host).Connect();
        Assert.Equal(Errno.OK, vm.Send("[" + new string(' ', 200), vm.Uffd));
        Eventually.True(() => _store.Stored.Any(name => name.Contains("-taken-", StringComparison.Ordinal)), "the mark");

        // The turn in which it was marked, and looked whether it has gone, is over.
        await host.ListAsync();
        _store.IsUnsettled = true;
        Assert.Equal(Errno.OK, vm.Send(vm.Message()[1..]));
        vm.AssertHolds(host.Image);
    }

    [Fact]
    public async Task Connection_that_was_not_stored_is_not_taken_out()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync(store: _store);
        _store.IsFull = true;
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        vm.AssertHolds(host.Image);
        Eventually.True(() => host.Telemetry.Open == 0, "the end of the connection");
        Assert.Empty(_store.Removed);
    }

    [Fact]
    public void Pace_is_charged_by_strangers_alone_and_recovers_to_its_burst()
    {
        ManualTime time = new();
        AdmissionPace pace = new(time);
        for (int i = 0; i < 2 * AdmissionPace.Burst; i++)
        {
            Assert.True(pace.HasRoom);
            pace.Charge();
            pace.GiveBack();
        }

        Assert.Equal(AdmissionPace.Burst, Drain(pace));
        time.Advance(TimeSpan.FromSeconds(1.0 / AdmissionPace.PerSecond));
        Assert.Equal(1, Drain(pace));
        time.Advance(TimeSpan.FromDays(1));
        Assert.Equal(AdmissionPace.Burst, Drain(pace));
    }

    private static int Drain(AdmissionPace pace)
    {
        int count = 0;
        for (; pace.HasRoom; count++)
            pace.Charge();
        return count;
    }
}
