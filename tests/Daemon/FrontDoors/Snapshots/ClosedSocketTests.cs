using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>connect(2) and sendmsg(2) succeed before anybody accepts: who is in the queue of a socket that ends must not be forgotten in it.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class ClosedSocketTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Listener_that_ends_lets_nobody_connect_and_admits_all_who_had()
    {
        string path = _directory.Combine("s.sock");
        List<SafeSocketFd> admitted = [];
        using Turning thread = new();
        DoorListener listener = new(thread, UnixSocket.Listen(path, UnixSocketType.Stream, 128, 0b110_000_000), admitted.Add, reason => throw new InvalidOperationException(reason));
        List<SafeSocketFd> connected = [.. Enumerable.Range(0, 70).Select(_ => UnixSocket.Connect(path, UnixSocketType.Stream))];
        int finished = 0;

        listener.Finish(() => finished++);

        Assert.Equal((70, 1), (admitted.Count, finished));
        Assert.Equal(Errno.ECONNREFUSED, Assert.Throws<SyscallException>(() => UnixSocket.Connect(path, UnixSocketType.Stream)).Errno);
        admitted.ForEach(socket => socket.Dispose());
        connected.ForEach(socket => socket.Dispose());
    }

    [Fact]
    public void Listener_survives_one_whose_admission_fails()
    {
        string path = _directory.Combine("s.sock");
        List<SafeSocketFd> admitted = [];
        List<string> told = [];
        int tried = 0;
        using Turning thread = new();
        DoorListener listener = new(thread, UnixSocket.Listen(path, UnixSocketType.Stream, 128, 0b110_000_000), Admit, told.Add);
        using SafeSocketFd first = UnixSocket.Connect(path, UnixSocketType.Stream);
        using SafeSocketFd second = UnixSocket.Connect(path, UnixSocketType.Stream);

        listener.OnReady(EpollEvents.In);

        Assert.Contains("no memory for this one", Assert.Single(told), StringComparison.Ordinal);
        Assert.Equal(Errno.EPIPE, UnixSocket.Send(first, "x"u8, [], dontWait: true));
        Assert.Equal(Errno.OK, UnixSocket.Send(second, "x"u8, [], dontWait: true));
        Assert.Single(admitted).Dispose();
        listener.Close();

        void Admit(SafeSocketFd socket)
        {
            if (tried++ == 0)
                throw new InvalidOperationException("no memory for this one");
            admitted.Add(socket);
        }
    }

    [Fact]
    public async Task Vm_that_was_not_let_in_when_its_socket_went_is_killed_and_one_that_sent_nothing_hears_of_it()
    {
        string path = _directory.Combine("gone.sock");
        SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 8, 0b110_000_000);
        using EmulatedVm sent = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver();
        using EmulatedVm silent = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).Connect();
        File.Delete(path);

        await using SnapshotHost host = await SnapshotHost.StartAsync(inherited: [new StoredDescriptor("snapshot-3", listener), Document(path)]);

        sent.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.NotAllowed));
        Eventually.True(() => silent.Send(silent.Message(), silent.Uffd) == Errno.EPIPE, "the end of the connection");
        Assert.False(silent.Client.HasExited);
    }

    [SkippableFact]
    public async Task Socket_whose_file_cannot_be_removed_is_closed_all_the_same_and_told()
    {
        Require.Mounting();
        string place = Directory.CreateDirectory(_directory.Combine("fixed")).FullName;
        Run("mount", "-t", "tmpfs", "-o", "size=1m", "none", place);
        try
        {
            await using SnapshotHost host = await SnapshotHost.StartAsync();
            string path = Path.Combine(place, "run.sock");
            await host.ServeAsync("run", path);
            Run("mount", "-o", "remount,ro", place);

            await host.StopServingAsync("run");

            Assert.Contains("2112 The file of socket", host.Log.Text, StringComparison.Ordinal);
            Assert.Equal(Errno.ECONNREFUSED, Assert.Throws<SyscallException>(() => UnixSocket.Connect(path, UnixSocketType.Stream)).Errno);
            SnapshotException refusal = await Assert.ThrowsAsync<SnapshotException>(() => host.ServeAsync("run", path));
            Assert.Contains("ReadWritePaths", refusal.Remedy, StringComparison.Ordinal);
            using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
            vm.AssertHolds(host.Image);
        }
        finally
        {
            Run("umount", "-l", place);
        }
    }

    // manager: make the socket beside its place, BARRIER   (somebody connects by that name, somebody else takes the place)   rename: EEXIST
    [Fact]
    public async Task Vm_that_connected_to_a_socket_whose_place_is_taken_meanwhile_is_killed_and_not_forgotten()
    {
        PacedStore store = new() { HoldsBarriers = true };
        await using SnapshotHost host = await SnapshotHost.StartAsync("", store: store);
        string path = _directory.Combine("run.sock");
        Task<(SnapshotView View, bool IsNew)> asked = host.ServeAsync("run", path);
        Eventually.True(() => store.Barriers == 1, "the socket to wait until it is kept");
        using EmulatedVm vm = EmulatedVm.Boot(path + UnixSocket.ReservedEnd, SnapshotHost.ImageBytes).HandOver();

        // So that it is not let in while the socket is moved.
        store.IsBehind = true;
        await File.WriteAllTextAsync(path, "");
        store.Release();

        SnapshotException refusal = await Assert.ThrowsAsync<SnapshotException>(() => asked);
        Assert.Contains("choose another path", refusal.Remedy, StringComparison.Ordinal);
        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.NotAllowed));
        Assert.Equal([path], Directory.GetFiles(_directory.Path));
        Eventually.True(() => store.Removed.Contains("snapshot-1"), "the socket to be taken out of the store");
    }

    // Nobody would find who waits in its queue.
    [Fact]
    public async Task Vm_that_waits_at_a_socket_that_is_not_kept_is_killed_when_another_manager_goes_on()
    {
        PacedStore store = new() { IsKept = true, IsFull = true };
        await using SnapshotHost host = await SnapshotHost.StartAsync(store: store, maxConnections: 1);
        Assert.Contains("2110 ", host.Log.Text, StringComparison.Ordinal);
        using SafeSocketFd stranger = UnixSocket.Connect(host.SocketPath, UnixSocketType.Stream);
        Eventually.True(() => host.Telemetry.Open == 1, "the stranger to be let in");
        using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();

        await host.HandOverAsync();

        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.Draining));
    }

    private static StoredDescriptor Document(string path)
    {
        SafeMemfd memory = Memfd.Create("document", MemfdFlags.None);
        byte[] document = new SnapshotSocketDocument { Socket = new SnapshotSocketOptions { Path = path, Mode = 0b110_000_000, Timeout = TimeSpan.FromSeconds(2) }, Device = 1, Inode = 2 }.Encode();
        Assert.Equal(Errno.OK, FileIo.WriteAll(memory, document, 0));
        return new StoredDescriptor("snapshot-3-document-4", memory);
    }

    private static void Run(string program, params string[] arguments)
    {
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }

    private sealed class Turning() : DoorThread("never", TimeProvider.System);
}
