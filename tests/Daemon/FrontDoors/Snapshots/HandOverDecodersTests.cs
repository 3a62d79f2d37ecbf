using System.Globalization;
using System.Text;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>A socket speaks the protocol that was said for it: whose it is, is one decoder under a name.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class HandOverDecodersTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Each_socket_has_the_decoder_of_its_protocol()
    {
        HandOverDecoders both = new(new Dictionary<string, Func<IHandOverDecoder>> { ["firecracker"] = () => new FirecrackerDecoder(), ["plain"] = () => new PlainDecoder() });
        await using SnapshotHost host = await SnapshotHost.StartAsync(decoders: both);
        string path = Path.Combine(host.Folder, "plain.sock");
        await host.ServeAsync("plain", path, protocol: "plain");
        using EmulatedVm plain = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).Connect();
        Assert.Equal(Errno.OK, plain.Send($"{plain.Start} {plain.Length}\n", plain.Uffd));
        plain.AssertHolds(host.Image);
        using EmulatedVm firecracker = EmulatedVm.Boot(host).HandOver();
        firecracker.AssertHolds(host.Image);

        using EmulatedVm wrong = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).Connect();
        Assert.Equal(Errno.OK, wrong.Send(wrong.Message() + "\n", wrong.Uffd));
        wrong.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.BadMessage));
        Assert.Contains("two numbers", host.Log.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Protocol_that_is_not_known_is_refused_with_those_that_are()
    {
        await using SnapshotHost host = await SnapshotHost.StartAsync();
        SnapshotException refusal = await Assert.ThrowsAsync<SnapshotException>(() => host.ServeAsync("run", "run.sock", protocol: "plain"));
        Assert.Equal((SnapshotException.Obstacle.Request, "the protocol \"plain\" is not known; known are: firecracker"), (refusal.Kind, refusal.Message));
        Assert.False(File.Exists(Path.Combine(host.Folder, "run.sock")));
    }

    [Fact]
    public async Task Socket_whose_protocol_an_earlier_manager_alone_knew_is_told_and_who_had_connected_is_killed()
    {
        string path = _directory.Combine("s.sock");
        SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 8, 0b110_000_000);
        using EmulatedVm vm = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver();
        await using SnapshotHost host = await SnapshotHost.StartAsync(inherited: [new StoredDescriptor("snapshot-3", listener), Document(path, "\"protocol\": \"plain\",")]);

        vm.AssertKilled();
        host.AssertKills(nameof(HandOverRefusal.NotAllowed));
        Assert.Equal(["run 0/0 failed", "web 0/0"], await host.ListAsync());
        Assert.Contains("the protocol \"plain\" is not known; known are: firecracker", host.Log.Text, StringComparison.Ordinal);
        using EmulatedVm sound = EmulatedVm.Boot(host).HandOver();
        sound.AssertHolds(host.Image);
    }

    // There was one when the document had no word for it; nor for tenants and processes.
    [Fact]
    public async Task Socket_of_which_no_protocol_was_said_speaks_the_first_one()
    {
        string path = _directory.Combine("s.sock");
        SafeSocketFd listener = UnixSocket.Listen(path, UnixSocketType.Stream, 8, 0b110_000_000);
        await using SnapshotHost host = await SnapshotHost.StartAsync(inherited: [new StoredDescriptor("snapshot-3", listener), Document(path, "")]);
        using EmulatedVm vm = EmulatedVm.Boot(path, SnapshotHost.ImageBytes).HandOver();
        vm.AssertHolds(host.Image);
        await host.StopServingAsync("run");
        Assert.False(File.Exists(path));
    }

    private static StoredDescriptor Document(string path, string protocol)
    {
        Assert.Equal(Errno.OK, FileIo.TryStat(path, out FileStatus file));
        string socket = $$"""{ "path": "{{path}}", {{protocol}} "mode": 384, "timeout": "00:00:02" }""";
        SafeMemfd memory = Memfd.Create("document", MemfdFlags.None);
        byte[] document = Encoding.UTF8.GetBytes($$"""
            {
              "socket": {{socket}}, "device": {{file.Device}}, "inode": {{file.Inode}},
              "snapshots": { "run": { "image": "mem.bin", "tenant": "vms", "policy": "", "socket": {{socket}}, "match": { "uids": [], "cgroups": [] }, "maxVms": 0 } }
            }
            """);
        Assert.Equal(Errno.OK, FileIo.WriteAll(memory, document, 0));
        return new StoredDescriptor("snapshot-3-document-4", memory);
    }

    /// <summary>A protocol of another VMM: a line with the address and the length of all memory.</summary>
    private sealed class PlainDecoder : IHandOverDecoder
    {
        public HandOverStep Decode(ReadOnlySpan<byte> bytes, IReadOnlyList<HandedKind> descriptors)
        {
            int end = bytes.IndexOf((byte)'\n');
            if (end < 0)
                return HandOverStep.NeedsMore;
            ulong[] numbers = [.. Encoding.UTF8.GetString(bytes[..end]).Split(' ').Select(word => ulong.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : 0)];
            return numbers is [> 0, > 0]
                ? HandOverStep.Complete(new MemoryHandOver([new MemoryRegion(numbers[0], numbers[1], 0)], EmulatedVm.Page, 0))
                : HandOverStep.Refused("the line does not have two numbers", isWhole: true);
        }
    }
}
