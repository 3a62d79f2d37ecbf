using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>MAP: memory that the manager fills and clients share.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class SharedObjectTests
{
    private const ulong Page = 4096;
    private const ulong Length = 16 * Page;

    [Fact]
    public async Task Two_clients_that_map_the_same_file_share_one_copy()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        byte[] image = await WriteImageAsync(host);
        using ClientProcess one = ClientProcess.Start();
        using ClientProcess two = ClientProcess.Start();
        using Mapping first = Map(one, host, new MapMessage(Length, 0, MapFlags.None, "file", "image", ""), shared: false);
        using Mapping second = Map(two, host, new MapMessage(Length, 0, MapFlags.None, "file", "image", ""), shared: false);
        Assert.Equal(first.Id, second.Id);

        Assert.Equal(ClientProcess.Hash(image), one.HashRange(first.Address, Length));
        Assert.Equal(ClientProcess.Hash(image), two.HashRange(second.Address, Length));

        // The second client found every page there: one copy was made, and only mapped anew.
        Assert.Equal(0ul, second.Connection.Ask<StatusReplyMessage>(new StatusMessage()).CopiedBytes);
    }

    [Fact]
    public async Task Writable_object_shows_each_client_what_the_other_wrote()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        await WriteImageAsync(host);
        using ClientProcess one = ClientProcess.Start();
        using ClientProcess two = ClientProcess.Start();
        var request = new MapMessage(Length, 0, MapFlags.Writable, "file", "image", "board");
        using Mapping first = Map(one, host, request, shared: true);
        using Mapping second = Map(two, host, request, shared: true);
        Assert.Equal(first.Id, second.Id);

        one.WriteByte(first.Address + (3 * Page), 200);

        Assert.Equal(200, two.ReadByte(second.Address + (3 * Page)));
    }

    [Fact]
    public async Task Read_only_object_cannot_be_written_by_any_client()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        await WriteImageAsync(host);
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
        {
            connection.Ask<MappedMessage>(new MapMessage(Length, 0, MapFlags.None, "file", "image", ""));
            using SafeFile memfd = connection.Take<SafeFile>(0);
            int number = client.Give(memfd);

            Assert.Equal(Errno.EACCES, client.Try($"mapfd {number} 0 {Length} 1 3").Errno);
            Assert.NotEqual(Errno.OK, client.Try($"pwrite {number} 0 8 1").Errno);
            using SafeFile? reopened = FileIo.TryOpen($"/proc/{client.Pid}/fd/{number}", OpenFlags.ReadWrite, out Errno errno);
            if (reopened is not null)
                Assert.Equal(Errno.EPERM, client.Try($"mapfd {client.Give(reopened)} 0 {Length} 1 3").Errno);
            else
                Assert.NotEqual(Errno.OK, errno);
        }
    }

    [Fact]
    public async Task Name_with_another_length_conflicts_and_objects_are_counted_against_the_tenant()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync("""
            {
              "policies": { "zero": {} },
              "tenants": { "all": { "default": true, "defaultPolicy": "zero", "limits": { "maps": 2, "mapBytes": "128KiB" } } }
            }
            """);
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath);
        connection.Ask<MappedMessage>(new MapMessage(Length, 0, MapFlags.None, "", "", "a"));
        Assert.Equal(ErrorCode.Conflict, connection.Ask<ErrorMessage>(new MapMessage(Length * 2, 0, MapFlags.None, "", "", "a")).Code);
        Assert.Equal(ErrorCode.Conflict, connection.Ask<ErrorMessage>(new MapMessage(Length, 0, MapFlags.Writable, "", "", "a")).Code);
        Assert.Equal(ErrorCode.Conflict, connection.Ask<ErrorMessage>(new MapMessage(Length, Page, MapFlags.None, "", "", "a")).Code);
        Assert.Equal(ErrorCode.Limit, connection.Ask<ErrorMessage>(new MapMessage(Length * 2, 0, MapFlags.None, "", "", "b")).Code);
        connection.Ask<MappedMessage>(new MapMessage(Length, 0, MapFlags.None, "", "", "b"));
        Assert.Equal(ErrorCode.Limit, connection.Ask<ErrorMessage>(new MapMessage(Page, 0, MapFlags.None, "", "", "c")).Code);

        // The objects go with the last session that has them, and the tenant may make others.
        connection.Ask<DoneMessage>(new ByeMessage());
        connection.Dispose();
        (connection, _) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
            connection.Ask<MappedMessage>(new MapMessage(Length, 0, MapFlags.None, "", "", "c"));
    }

    private static async Task<byte[]> WriteImageAsync(FrontDoorHost host)
    {
        byte[] image = new byte[Length];
        new Random(9).NextBytes(image);
        await File.WriteAllBytesAsync(Path.Combine(host.Folder, "image"), image);
        return image;
    }

    [Fact]
    public async Task Client_that_permissions_bind_cannot_write_what_others_see_however_it_opens_it()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        byte[] image = await WriteImageAsync(host);
        File.SetUnixFileMode(host.Folder, (UnixFileMode)0b111_101_101);
        File.SetUnixFileMode(host.SocketPath, (UnixFileMode)0b110_110_110);
        using ClientProcess user = ClientProcess.Start();
        using SafeUffd uffd = user.OpenUffd();
        user.Run("setuid 65534");
        using WireConnection connection = WireConnection.Open(user, host.SocketPath);
        connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd), uffd);
        MapMessage request = new(Length, 0, MapFlags.None, "file", "image", "");
        using Mapping mapped = Map(user, connection, request, shared: false);
        Assert.Equal(ClientProcess.Hash(image), user.HashRange(mapped.Address, Length));

        MappedMessage again = connection.Ask<MappedMessage>(request);
        Assert.Equal(mapped.Id, again.MapId);
        using SafeFile memfd = connection.Take<SafeFile>(0);
        Assert.Equal(MemfdSeals.None, Memfd.GetSeals(memfd) & (MemfdSeals.Write | MemfdSeals.FutureWrite));
        int number = user.Give(memfd);
        Assert.False(user.Try($"pwrite {number} 0 4096 66").Succeeded);
        Assert.False(user.Try($"punch {number} 0 4096").Succeeded);
        Assert.Equal(Errno.EACCES, user.Try($"mapfd {number} 0 {Length} 1 3").Errno);
        Assert.Equal(Errno.EACCES, user.Try($"open /proc/self/fd/{number} 2").Errno);
        ulong readOnly = user.Run($"mapfd {number} 0 {Length} 1 1");
        Assert.Equal(Errno.EACCES, user.Try($"mprotect {readOnly} {Length} 3").Errno);

        // Whom permissions do not bind gets another one, which is sealed.
        using ClientProcess root = ClientProcess.Start();
        using Mapping other = Map(root, host, request, shared: false);
        Assert.NotEqual(mapped.Id, other.Id);
        other.Connection.Ask<MappedMessage>(request);
        using SafeFile kept = other.Connection.Take<SafeFile>(0);
        Assert.Equal(MemfdSeals.FutureWrite, Memfd.GetSeals(kept) & MemfdSeals.FutureWrite);
    }

    private static Mapping Map(ClientProcess client, FrontDoorHost host, MapMessage request, bool shared) =>
        Map(client, WireConnection.Attach(client, host.SocketPath).Connection, request, shared);

    private static Mapping Map(ClientProcess client, WireConnection connection, MapMessage request, bool shared)
    {
        MappedMessage mapped = connection.Ask<MappedMessage>(request);
        using SafeFile memfd = connection.Take<SafeFile>(0);
        ulong address = client.Run($"mapfd {client.Give(memfd)} 0 {Length} {(shared ? 1 : 0)} {(shared ? 3 : 1)}");
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, Length, flags: RegisterFlags.FromMap) with
        {
            Modes = RegisterModes.Missing | RegisterModes.Minor,
            MapId = mapped.MapId,
        });
        return new Mapping(connection, mapped.MapId, address);
    }

    private sealed record Mapping(WireConnection Connection, ulong Id, ulong Address) : IDisposable
    {
        public void Dispose() => Connection.Dispose();
    }
}
