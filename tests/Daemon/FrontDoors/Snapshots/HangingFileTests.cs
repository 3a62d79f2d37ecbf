using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>What a file system that does not answer makes wait is one thread of its own, and never the front door.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class HangingFileTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    // Long enough to be taken out of the socket, with a file that is called like memory: closed on the door's thread, it would wait there.
    [SkippableFact]
    public async Task File_of_a_senders_own_file_system_that_imitates_memory_holds_up_nobody()
    {
        using HangingFiles files = HangingFiles.Mount();
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        using EmulatedVm hostile = EmulatedVm.Boot(host).Connect();
        using EmulatedVm vm = EmulatedVm.Boot(host);
        SafeFile imitation = files.OpenImitation();
        try
        {
            Assert.Equal(Errno.OK, hostile.Send("[" + new string(' ', 200), hostile.Uffd, imitation));
            hostile.AssertKilled();
            host.AssertKills(nameof(HandOverRefusal.BadMessage));
            Assert.Contains("neither a userfaultfd nor a memfd", host.Log.Text, StringComparison.Ordinal);
            vm.HandOver();
            vm.AssertHolds(host.Image);
        }
        finally
        {
            files.End();
            imitation.Dispose();
        }
    }

    [SkippableFact]
    public async Task Socket_in_a_directory_that_does_not_answer_goes_on_and_holds_up_no_other()
    {
        using HangingFiles files = HangingFiles.Mount();
        string reachable = _directory.Combine("s.sock");
        SafeSocketFd listener = UnixSocket.Listen(reachable, UnixSocketType.Stream, 8, 0b110_000_000);
        await using SnapshotHost host = await SnapshotHost.StartAsync(inherited: [new StoredDescriptor("snapshot-3", listener), Document(3, "run", Path.Combine(files.Hanging, "run.sock"))]);
        Task<SnapshotView>? stopped = null;
        try
        {
            using EmulatedVm vm = EmulatedVm.Boot(host).HandOver();
            vm.AssertHolds(host.Image);

            // By another name of the same socket: it is in hand, whatever has become of its directory.
            using EmulatedVm other = EmulatedVm.Boot(reachable, SnapshotHost.ImageBytes).HandOver();
            other.AssertHolds(host.Image);
            await host.AwaitListedAsync("run 1/0");
            await host.AwaitListedAsync("web 1/0");

            stopped = host.StopServingAsync("run");
            await host.ServeAsync("next", _directory.Combine("next.sock"));
            using EmulatedVm third = EmulatedVm.Boot(_directory.Combine("next.sock"), SnapshotHost.ImageBytes).HandOver();
            third.AssertHolds(host.Image);
            Assert.False(stopped.IsCompleted);
            Assert.Equal(Errno.ECONNREFUSED, Assert.Throws<SyscallException>(() => UnixSocket.Connect(reachable, UnixSocketType.Stream)).Errno);
        }
        finally
        {
            files.End();
        }

        await stopped!;
        Assert.Contains("2112 The file of socket", host.Log.Text, StringComparison.Ordinal);
    }

    // As many looks as a tenant may have at a time hang, and the one behind them is not answered before all is gone on with.
    [SkippableFact]
    public async Task Socket_whose_file_turns_out_to_be_gone_when_it_is_served_again_already_is_made_anew()
    {
        const int Looks = 4;
        using HangingFiles files = HangingFiles.Mount();
        List<StoredDescriptor> inherited = [];
        for (int i = 1; i <= Looks; i++)
        {
            inherited.Add(new StoredDescriptor($"snapshot-{i}", UnixSocket.Listen(_directory.Combine($"{i}.sock"), UnixSocketType.Stream, 8, 0b110_000_000)));
            inherited.Add(Document(i, $"hanging{i}", Path.Combine(files.Hanging, $"{i}.sock")));
        }

        string path = _directory.Combine("late.sock");
        inherited.Add(new StoredDescriptor("snapshot-5", UnixSocket.Listen(path, UnixSocketType.Stream, 8, 0b110_000_000)));
        inherited.Add(Document(5, "late", path));
        using EmulatedVm waiting = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver();
        File.Delete(path);

        // Nobody is let in at the socket that was gone on with, before it ends.
        PacedStore store = new() { IsBehind = true };
        await using SnapshotHost host = await SnapshotHost.StartAsync(inherited: inherited, store: store);
        try
        {
            Assert.Contains("late 0/0", await host.ListAsync());
            Assert.False(File.Exists(path));
        }
        finally
        {
            files.End();
        }

        Eventually.True(() => File.Exists(path), "the socket to be made anew");
        Assert.Contains($"2118 The socket {path}", host.Log.Text, StringComparison.Ordinal);
        waiting.AssertHolds(host.Image);
        store.IsBehind = false;
        using EmulatedVm vm = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver();
        vm.AssertHolds(host.Image);
        await host.AwaitListedAsync("late 2/0");
    }

    private static StoredDescriptor Document(long number, string name, string path)
    {
        SnapshotSocketOptions socket = new() { Path = path, Mode = 0b110_000_000, Timeout = TimeSpan.FromSeconds(2) };
        SafeMemfd memory = Memfd.Create("document", MemfdFlags.None);
        byte[] document = new SnapshotSocketDocument
        {
            Socket = socket,
            Device = 1,
            Inode = 2,
            Tenant = "poor",
            Snapshots = new Dictionary<string, SnapshotOptions>
            {
                [name] = new() { Image = "mem.bin", Tenant = "vms", Policy = "", Socket = socket, Match = new SnapshotMatchOptions { Uids = [], Cgroups = [] }, MaxVms = 0 },
            },
        }.Encode();
        Assert.Equal(Errno.OK, FileIo.WriteAll(memory, document, 0));
        return new StoredDescriptor($"snapshot-{number}-document-{number + 100}", memory);
    }
}
