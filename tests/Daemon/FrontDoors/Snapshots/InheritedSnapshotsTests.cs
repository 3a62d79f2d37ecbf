using UffdManager.Daemon.Configuration;
using UffdManager.Daemon.FrontDoors.Snapshots;
using UffdManager.Engine.State;
using UffdManager.Linux;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors.Snapshots;

/// <summary>What a manager stores of its sockets is put together again, and what does not fit is told and closed.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class InheritedSnapshotsTests : IDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly DescriptorWatch _watch = DescriptorWatch.Start();
    private readonly List<StoredDescriptor> _stored = [];

    public void Dispose()
    {
        _watch.AssertUnchanged();
        _directory.Dispose();
    }

    [Fact]
    public void Socket_has_its_later_document_and_its_connections()
    {
        StoreListener("snapshot-5");
        StoreDocument("snapshot-5-document-9", "late");
        StoreDocument("snapshot-5-document-7", "early");
        (SafeSocketFd near, SafeSocketFd far) = UnixSocket.Pair(UnixSocketType.Stream);
        far.Dispose();
        _stored.Add(new StoredDescriptor("snapshot-5-peer-12", near));

        _stored.Add(new StoredDescriptor("snapshot-5-taken-12", Memfd.Create("mark", MemfdFlags.None)));
        _stored.Add(new StoredDescriptor("snapshot-5-taken-11", Memfd.Create("mark", MemfdFlags.None)));

        using InheritedSnapshots inherited = InheritedSnapshots.From(_stored);

        InheritedSnapshots.Socket socket = Assert.Single(inherited.Sockets);
        Assert.Equal((5, 9, 12), (socket.Number, socket.DocumentVersion, Assert.Single(socket.Peers).Number));
        SnapshotOptions options = Assert.Single(socket.Document!.Snapshots).Value;
        Assert.Equal(("late", 7u, "/cg"), (options.Image, Assert.Single(options.Match.Uids), Assert.Single(options.Match.Cgroups)));
        Assert.Equal(new SnapshotProcess(4, 99), Assert.Single(options.Match.Processes));
        Assert.Equal(TimeSpan.FromSeconds(2.5), options.Socket.Timeout);
        Assert.Equal(["snapshot-5-document-7", "snapshot-5-taken-11"], inherited.Orphans);
        Assert.Contains(12, socket.Taken);
        Assert.Equal(12, inherited.LastNumber);
        Assert.Empty(inherited.Problems);
    }

    [Theory]
    [InlineData("snapshot-")]
    [InlineData("snapshot-x")]
    [InlineData("snapshot--1")]
    [InlineData("snapshot-1-peer")]
    [InlineData("snapshot-1-peer-x")]
    [InlineData("snapshot-1-colour-2")]
    [InlineData("snapshot-1-peer-2-3")]
    [InlineData("snapshot-1-taken-x")]
    public void Name_that_is_none_is_told_and_its_descriptor_closed(string name)
    {
        _stored.Add(new StoredDescriptor(name, EventFd.Create()));
        using InheritedSnapshots inherited = InheritedSnapshots.From(_stored);
        Assert.Contains(inherited.Problems, problem => problem.Contains($"\"{name}\"", StringComparison.Ordinal));
        Assert.Equal([name], inherited.Orphans);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("{\"socket\":7}")]
    [InlineData("{\"socket\":{}}")]
    public void Document_that_cannot_be_read_is_told(string text)
    {
        StoreListener("snapshot-1");
        Store("snapshot-1-document-2", System.Text.Encoding.UTF8.GetBytes(text));
        using InheritedSnapshots inherited = InheritedSnapshots.From(_stored);
        Assert.Null(Assert.Single(inherited.Sockets).Document);
        Assert.Equal(["snapshot-1-document-2"], inherited.Orphans);
        Assert.Equal(2, inherited.Problems.Count);
    }

    [Fact]
    public void Descriptor_that_does_not_listen_is_no_socket()
    {
        _stored.Add(new StoredDescriptor("snapshot-1", EventFd.Create()));
        using InheritedSnapshots inherited = InheritedSnapshots.From(_stored);
        Assert.Equal(["snapshot-1"], inherited.Orphans);
    }

    private void StoreListener(string name) =>
        _stored.Add(new StoredDescriptor(name, UnixSocket.Listen(_directory.Combine("s.sock"), UnixSocketType.Stream, 1, 0)));

    private void StoreDocument(string name, string image)
    {
        SnapshotSocketOptions socket = new() { Path = "/s.sock", Uid = 3, Mode = 0b110_000_000, Timeout = TimeSpan.FromSeconds(2.5) };
        Store(name, new SnapshotSocketDocument
        {
            Socket = socket,
            Device = 1,
            Inode = 2,
            Snapshots = new Dictionary<string, SnapshotOptions>
            {
                ["run"] = new()
                {
                    Image = image,
                    Tenant = "vms",
                    Policy = "",
                    Socket = socket,
                    Match = new SnapshotMatchOptions { Uids = [7], Cgroups = ["/cg"], Processes = [new(4, 99)] },
                    MaxVms = 3,
                },
            },
        }.Encode());
    }

    private void Store(string name, byte[] document)
    {
        SafeMemfd memory = Memfd.Create("document", MemfdFlags.None);
        Assert.Equal(Errno.OK, FileIo.WriteAll(memory, document, 0));
        _stored.Add(new StoredDescriptor(name, memory));
    }
}
