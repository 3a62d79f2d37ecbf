using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>Who connects when there is no descriptor to find out who it is.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class UnknownPeerTests
{
    private const string Web = """ "web": { "image": "mem.bin", "tenant": "vms", "socket": "@/fc.sock", "timeout": "60s" } """;

    // Kept by nobody: nothing of it may be left to the next manager, and its time to look again is longer than this one has.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Vm_that_nobody_could_identify_is_ended_when_the_manager_ends(bool isForGood)
    {
        RecordingTelemetry? telemetry = null;
        PacedStore store = new() { IsFull = true };

        // As if the stranger's end had brought numbers back, which is the first thing that an end brings.
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web, store: store, identify: (SafeSocketFd socket, out uint uid, out Errno errno) =>
        {
            if (Volatile.Read(ref telemetry) is not { Open: > 0 })
                return PeerProcess.TryIdentify(socket, out uid, out errno);
            (uid, errno) = (0, Errno.EMFILE);
            return null;
        });
        using SafeSocketFd stranger = UnixSocket.Connect(host.SocketPath, UnixSocketType.Stream);
        Eventually.True(() => host.Telemetry.Open == 1, "the stranger to be let in");
        Volatile.Write(ref telemetry, host.Telemetry);
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        Eventually.True(() => host.Log.Text.Contains("2114 Who connected", StringComparison.Ordinal), "the line");

        if (isForGood)
            await host.StopDoorAsync();
        else
            await host.HandOverAsync();

        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.Draining));
    }

    [Fact]
    public async Task Vm_that_cannot_be_identified_to_the_end_is_told()
    {
        bool isShort = false;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web, identify: (SafeSocketFd socket, out uint uid, out Errno errno) =>
        {
            if (!Volatile.Read(ref isShort))
                return PeerProcess.TryIdentify(socket, out uid, out errno);
            (uid, errno) = (0, Errno.EMFILE);
            return null;
        });
        Volatile.Write(ref isShort, true);
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
        Eventually.True(() => host.Log.Text.Contains("2114 Who connected", StringComparison.Ordinal), "the line");

        await host.HandOverAsync();

        Assert.Contains($"2117 Who connected at {host.SocketPath} (pid {vm.Client.Pid}, uid {ProcessInfo.EffectiveUid}) is left behind", host.Log.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Vm_whose_identification_fails_unexpectedly_is_looked_at_again_and_served()
    {
        int looks = 0;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web, identify: (SafeSocketFd socket, out uint uid, out Errno errno) =>
            Interlocked.Increment(ref looks) == 1 ? throw new InvalidOperationException("no memory for this one") : PeerProcess.TryIdentify(socket, out uid, out errno));
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();

        vm.AssertHolds(host.Image);
        Assert.Contains("2119 Who connected", host.Log.Text, StringComparison.Ordinal);
        Assert.Contains("no memory for this one", host.Log.Text, StringComparison.Ordinal);
        Assert.Empty(host.Telemetry.Kills);
    }

    // The VM that has the number now stands for a process that got it afterwards: what the one before it left in the socket would be no message.
    [Fact]
    public async Task Process_that_has_the_number_of_a_vm_that_died_in_the_queue_is_not_ended_for_it()
    {
        using ManualResetEventSlim hasSent = new();
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web, identify: (SafeSocketFd socket, out uint uid, out Errno errno) =>
        {
            Assert.True(hasSent.Wait(Eventually.DefaultDeadline));
            return PeerProcess.TryIdentify(
                socket,
                (SafeSocketFd _, out Errno why) =>
                {
                    why = Errno.EINVAL;
                    return null;
                },
                ProcessInfo.ReadCgroup,
                out uid,
                out errno);
        });
        using EmulatedVm innocent = EmulatedVm.Boot(host).Connect();
        Assert.Equal(Errno.OK, innocent.Send("rubbish", innocent.Uffd));
        hasSent.Set();

        Eventually.True(() => host.Telemetry.Refusals.Contains(PeerRefusal.PeerGone), "the connection to be over");
        await host.StopDoorAsync();
        Assert.Empty(host.Telemetry.Kills);
        innocent.Client.Map("anon", EmulatedVm.Page);
    }

    // Each of them was charged when it waited, and would be charged again: the pace would let nobody in any more.
    [Fact]
    public async Task Hand_overs_that_waited_to_be_identified_are_charged_once()
    {
        const int Waiting = AdmissionPace.Burst - 16;
        PacedStore store = new();
        int identified = 0;
        bool isShort = true;
        await using SnapshotHost host = await SnapshotHost.StartAsync(Web, store: store, maxConnections: 4096, identify: (SafeSocketFd socket, out uint uid, out Errno errno) =>
        {
            if (!Volatile.Read(ref isShort))
            {
                Interlocked.Increment(ref identified);
                return PeerProcess.TryIdentify(socket, out uid, out errno);
            }

            (uid, errno) = (0, Errno.EMFILE);
            return null;
        });
        List<SafeSocketFd> connections = [];
        try
        {
            for (int i = 0; i < Waiting; i++)
                connections.Add(UnixSocket.Connect(host.SocketPath, UnixSocketType.Stream));
            Eventually.True(() => store.Peers == Waiting, "all to be accepted");
            Volatile.Write(ref isShort, false);
            Eventually.True(() => Volatile.Read(ref identified) == Waiting, "all to be identified");

            // Its user has many connections: its message must be there when it is let in, or it has little time for it.
            store.IsBehind = true;
            using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
            store.IsBehind = false;
            vm.AssertHolds(host.Image);
            Assert.DoesNotContain(AdmissionPause.Pace, host.Telemetry.Pauses);
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }
    }
}
