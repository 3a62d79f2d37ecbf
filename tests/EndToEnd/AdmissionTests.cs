using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.EndToEnd.Tests;

/// <summary>Who is let in, with what, and that a limit is the problem of the client that hits it alone.</summary>
public sealed class AdmissionTests
{
    private const ulong PageSize = 4096;

    [Fact]
    public async Task Peer_that_no_tenant_matches_is_refused_with_the_reason()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync("""
            { "policies": { "zero": {} }, "tenants": { "others": { "match": { "uids": [54321] }, "defaultPolicy": "zero" } } }
            """);
        using ClientProcess client = ClientProcess.Start();
        using WireConnection connection = WireConnection.Open(client, daemon.SocketPath);

        // The refusal comes unasked; a HELLO may meet a closed socket.
        ErrorMessage error = Assert.IsType<ErrorMessage>(connection.Receive());
        Assert.Equal(ErrorCode.RefusedPeer, error.Code);
        Assert.Contains($"no tenant matches pid {client.Pid}", error.Text, StringComparison.Ordinal);
        Assert.Null(connection.Receive());
    }

    [SkippableFact]
    public async Task Peers_of_different_users_are_different_tenants()
    {
        Require.Root();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            """
            { "policies": { "zero": {} },
              "tenants": {
                "root": { "match": { "uids": [0] }, "defaultPolicy": "zero" },
                "user": { "match": { "uids": [65534] }, "defaultPolicy": "zero" } } }
            """,
            new Dictionary<string, string> { ["UFFD_MANAGER__listen__mode"] = "0666" });

        using ClientProcess root = ClientProcess.Start();
        using WireConnection asRoot = WireConnection.Open(root, daemon.SocketPath);
        Assert.Equal("root", asRoot.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.NoSession)).Tenant);

        using ClientProcess user = ClientProcess.Start();
        user.Run("setuid 65534");
        using WireConnection asUser = WireConnection.Open(user, daemon.SocketPath);
        Assert.Equal("user", asUser.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.NoSession)).Tenant);
    }

    [Fact]
    public async Task Policy_that_the_tenant_may_not_use_is_refused_like_one_that_does_not_exist()
    {
        await using DaemonProcess daemon = await DaemonProcess.StartAsync("""
            { "policies": { "zero": {}, "secret": {} }, "tenants": { "t": { "default": true, "defaultPolicy": "zero" } } }
            """);
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", PageSize).Address;
            ErrorMessage forbidden = connection.Ask<ErrorMessage>(WireConnection.Register(address, PageSize, "secret"));
            ErrorMessage unknown = connection.Ask<ErrorMessage>(WireConnection.Register(address, PageSize, "nosuch"));
            Assert.Equal((ErrorCode.Policy, ErrorCode.Policy), (forbidden.Code, unknown.Code));
            Assert.Equal(forbidden.Text.Replace("secret", "nosuch", StringComparison.Ordinal), unknown.Text);
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize));
        }
    }

    [Theory]
    [InlineData("../outside")]
    [InlineData("sub/../../outside")]
    [InlineData("link-to-file")]
    [InlineData("link-to-directory/outside")]
    [InlineData("{images}/../outside")]
    [InlineData("{directory}/outside")]
    [InlineData("/etc/passwd")]
    [InlineData("/proc/self/root/etc/passwd")]
    [InlineData("sub")]
    [InlineData("fifo")]
    [InlineData("missing")]
    [InlineData("/")]
    public async Task Path_that_is_not_a_file_in_the_tenants_directories_is_refused_and_the_connection_lives(string path)
    {
        await using DaemonProcess daemon = await StartWithImagesAsync();
        string images = Path.Combine(daemon.Directory, "images");
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", PageSize).Address;
            string source = path.Replace("{images}", images, StringComparison.Ordinal)
                .Replace("{directory}", daemon.Directory, StringComparison.Ordinal);
            ErrorMessage error = connection.Ask<ErrorMessage>(WireConnection.Register(address, PageSize, source: source));
            Assert.Equal(ErrorCode.Source, error.Code);
            Assert.NotEqual(0, error.Errno);

            connection.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize, source: "sub/image"));
            Assert.True(client.IsFilledWith(address, PageSize, 0x11));
        }
    }

    [Fact]
    public async Task Path_is_absolute_or_relative_to_a_source_directory()
    {
        await using DaemonProcess daemon = await StartWithImagesAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            foreach (string source in (string[])["sub/image", Path.Combine(daemon.Directory, "images", "sub", "image")])
            {
                ulong address = client.Map("anon", PageSize).Address;
                connection.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize, source: source));
                Assert.True(client.IsFilledWith(address, PageSize, 0x11));
            }
        }
    }

    [Fact]
    public async Task Descriptor_that_cannot_be_read_is_refused_as_a_source()
    {
        await using DaemonProcess daemon = await StartWithImagesAsync();
        string image = Path.Combine(daemon.Directory, "images", "sub", "image");
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, daemon.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", PageSize).Address;
            (SafeSocketFd socket, SafeSocketFd other) = UnixSocket.Pair(UnixSocketType.Stream);
            using (other)
            {
                List<SafeFd> descriptors =
                [
                    FileIo.Open(image, OpenFlags.Path), FileIo.Open(image, OpenFlags.WriteOnly), FileIo.OpenDirectory("/"),
                    FileIo.Open("/dev/zero", OpenFlags.ReadOnly), socket,
                ];
                foreach (SafeFd descriptor in descriptors)
                {
                    using (descriptor)
                    {
                        ErrorMessage error = connection.Ask<ErrorMessage>(
                            WireConnection.Register(address, PageSize, flags: RegisterFlags.SourceFd), descriptor);
                        Assert.Equal(ErrorCode.Source, error.Code);
                    }
                }
            }

            using SafeFile good = FileIo.Open(image, OpenFlags.ReadOnly);
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize, flags: RegisterFlags.SourceFd), good);
            Assert.True(client.IsFilledWith(address, PageSize, 0x11));
        }
    }

    [SkippableFact]
    public async Task Limit_is_an_error_to_the_client_that_hits_it_alone()
    {
        Require.Root();
        await using DaemonProcess daemon = await DaemonProcess.StartAsync(
            """
            { "policies": { "zero": {}, "file": { "source": { "kind": "client" } } },
              "tenants": {
                "small": {
                  "match": { "uids": [65534] }, "defaultPolicy": "zero", "policies": ["file"],
                  "limits": { "sessions": 1, "connections": 2, "regions": 2, "registeredBytes": "16KiB", "sources": 1 } },
                "large": { "default": true, "defaultPolicy": "zero", "policies": ["*"] } } }
            """,
            new Dictionary<string, string> { ["UFFD_MANAGER__listen__mode"] = "0666" });
        using ClientProcess small = ClientProcess.Start();
        small.Run("setuid 65534");
        using WireConnection first = WireConnection.Open(small, daemon.SocketPath);
        Assert.Equal("small", Handshake(first, small).Tenant);

        ulong address = small.Map("anon", 64 * PageSize).Address;
        first.Ask<RegisteredMessage>(WireConnection.Register(address, PageSize));
        AssertLimit(first.Ask<ErrorMessage>(WireConnection.Register(address + PageSize, 32 * PageSize)), "registered bytes");
        first.Ask<RegisteredMessage>(WireConnection.Register(address + PageSize, PageSize));
        AssertLimit(first.Ask<ErrorMessage>(WireConnection.Register(address + (2 * PageSize), PageSize)), "regions");

        // A second session, then a third connection.
        using WireConnection second = WireConnection.Open(small, daemon.SocketPath);
        second.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.WantDevice));
        using (SafeFile device = second.Take<SafeFile>(0))
        using (SafeUffd uffd = Userfaultfd.OpenFromDevice(device))
            AssertLimit(second.Ask<ErrorMessage>(new AttachMessage(HelloFlags.HasUffd, 0), uffd), "sessions");
        using WireConnection third = WireConnection.Open(small, daemon.SocketPath);
        AssertLimit(Assert.IsType<ErrorMessage>(third.Receive()), "connections");

        // Everybody else goes on, and so does what the small one has.
        using ClientProcess large = ClientProcess.Start();
        (WireConnection other, WelcomeMessage welcome) = WireConnection.Attach(large, daemon.SocketPath);
        Assert.Equal("large", welcome.Tenant);
        ulong big = large.Map("anon", 64 * PageSize).Address;
        other.Ask<RegisteredMessage>(WireConnection.Register(big, 64 * PageSize));
        Assert.True(large.IsFilledWith(big, 64 * PageSize, 0));
        Assert.True(small.IsFilledWith(address, 2 * PageSize, 0));
        other.Dispose();
    }

    private static WelcomeMessage Handshake(WireConnection connection, ClientProcess client)
    {
        connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.WantDevice));
        using SafeFile device = connection.Take<SafeFile>(0);
        int given = client.Give(device);
        int number = (int)client.Run($"uffddev {given}");
        using SafeUffd uffd = client.Take<SafeUffd>(number);
        client.Run($"close {given}");
        client.Run($"close {number}");
        return connection.Ask<WelcomeMessage>(new AttachMessage(HelloFlags.HasUffd, 0), uffd);
    }

    private static void AssertLimit(ErrorMessage error, string what)
    {
        Assert.True(error.Code == ErrorCode.Limit, $"expected the limit on {what}, got {error.Code}: {error.Text}");
        Assert.NotEqual(0, error.Errno);
    }

    private static async Task<DaemonProcess> StartWithImagesAsync()
    {
        // The directory is only known once the daemon runs, so the tenant learns of it by a reload.
        DaemonProcess daemon = await DaemonProcess.StartAsync();
        string images = Path.Combine(daemon.Directory, "images");
        Directory.CreateDirectory(Path.Combine(images, "sub"));
        byte[] page = new byte[PageSize];
        Array.Fill(page, (byte)0x11);
        await File.WriteAllBytesAsync(Path.Combine(images, "sub", "image"), page);
        await File.WriteAllBytesAsync(Path.Combine(daemon.Directory, "outside"), page);
        File.CreateSymbolicLink(Path.Combine(images, "link-to-file"), Path.Combine(daemon.Directory, "outside"));
        File.CreateSymbolicLink(Path.Combine(images, "link-to-directory"), daemon.Directory);
        using (System.Diagnostics.Process fifo = System.Diagnostics.Process.Start("mkfifo", [Path.Combine(images, "fifo")]))
            await fifo.WaitForExitAsync();

        await File.WriteAllTextAsync(daemon.ConfigurationPath, $$"""
            { "policies": { "file": { "source": { "kind": "client" } } },
              "tenants": { "t": { "default": true, "defaultPolicy": "file", "sourceDirectories": ["{{images}}"] } } }
            """);
        daemon.Reload();
        await daemon.WaitForLogAsync("Configuration read again");
        return daemon;
    }
}
