using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>What becomes of a session's connection, ranges and process.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class SessionTests
{
    private const ulong Page = 4096;

    [Fact]
    public async Task Unprivileged_client_makes_its_userfaultfd_of_the_device_that_it_is_given()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        File.SetUnixFileMode(host.SocketPath, (UnixFileMode)0b110_110_110);
        File.SetUnixFileMode(host.Folder, (UnixFileMode)0b111_101_101);
        using ClientProcess client = ClientProcess.Start();
        client.Run("setuid 65534");
        using WireConnection connection = WireConnection.Open(client, host.SocketPath);

        WelcomeMessage greeting = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.WantDevice));
        Assert.Equal((WelcomeFlags.Device, 0ul), (greeting.Flags, greeting.SessionId));
        using SafeFile device = connection.Take<SafeFile>(0);
        int number = (int)client.Run($"uffddev {client.Give(device)}");
        using SafeUffd uffd = client.Take<SafeUffd>(number);
        WelcomeMessage welcome = connection.Ask<WelcomeMessage>(new AttachMessage(HelloFlags.HasUffd, 0), uffd);
        Assert.NotEqual(0ul, welcome.SessionId);
        Assert.NotEqual(0ul, welcome.ResumeToken);

        // Events of forks need a privilege in whoever calls UFFDIO_API: the manager has it.
        Assert.True(((UffdFeatures)welcome.FeaturesEnabled).HasFlag(UffdFeatures.EventFork));
        ulong address = client.Map("anon", 4 * Page).Address;
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
        Assert.Equal(0, client.ReadByte(address));
        Assert.Equal(1ul, connection.Ask<StatusReplyMessage>(new StatusMessage()).Faults);
    }

    [Fact]
    public async Task Second_session_of_a_process_is_told_who_holds_the_range_and_stays_healthy()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection first, WelcomeMessage holder) = WireConnection.Attach(client, host.SocketPath);
        (WireConnection second, _) = WireConnection.Attach(client, host.SocketPath);
        using (first)
        using (second)
        {
            ulong address = client.Map("anon", 16 * Page).Address;
            first.Ask<RegisteredMessage>(WireConnection.Register(address, 8 * Page));

            ErrorMessage error = second.Ask<ErrorMessage>(WireConnection.Register(address + (4 * Page), 8 * Page));

            Assert.Equal((ErrorCode.Conflict, (int)Errno.EBUSY, ErrorFlags.Holder), (error.Code, error.Errno, error.Flags));
            Assert.Equal((holder.SessionId, client.Pid, "everybody"), (error.HolderSession, error.HolderPid, error.HolderTenant));
            Assert.Equal((address, 8 * Page), (error.HolderStart, error.HolderLength));
            second.Ask<RegisteredMessage>(WireConnection.Register(address + (8 * Page), 8 * Page));
            Assert.True(client.IsFilledWith(address, 16 * Page, 0));
            Assert.Equal(8ul, second.Ask<StatusReplyMessage>(new StatusMessage()).Faults);
        }
    }

    [Fact]
    public async Task Range_held_by_a_userfaultfd_outside_the_manager_is_busy_with_that_said()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        ulong address = client.Map("anon", 4 * Page).Address;
        using SafeUffd foreign = client.OpenUffd(UffdOpenFlags.None);
        Assert.Equal(Errno.OK, Userfaultfd.Api(foreign, UffdFeatures.None, out _, out _));
        Assert.Equal(Errno.OK, Userfaultfd.Register(foreign, address, 4 * Page, UffdRegisterModes.Missing, out _));
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
        {
            ErrorMessage error = connection.Ask<ErrorMessage>(WireConnection.Register(address, 4 * Page));

            Assert.Equal((ErrorCode.Conflict, (int)Errno.EBUSY, 0ul), (error.Code, error.Errno, error.HolderSession));
            Assert.Contains("outside", error.Text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Session_outlives_its_connection_and_is_found_again_by_its_token()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        ulong address = client.Map("anon", 8 * Page).Address;
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, host.SocketPath);
        connection.Ask<RegisteredMessage>(WireConnection.Register(address, 8 * Page));
        connection.Dispose();
        Eventually.True(() => host.Telemetry.Open == 0);

        Assert.Equal(0, client.ReadByte(address));
        using WireConnection again = WireConnection.Open(client, host.SocketPath);
        HelloMessage hello = WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken };
        WelcomeMessage resumed = again.Ask<WelcomeMessage>(hello);

        Assert.Equal((WelcomeFlags.Resumed, welcome.SessionId), (resumed.Flags, resumed.SessionId));
        Assert.Equal(0, client.ReadByte(address + Page));
        Assert.Equal(2ul, again.Ask<StatusReplyMessage>(new StatusMessage()).Faults);
    }

    [Fact]
    public async Task Session_moves_to_the_connection_that_shows_its_token_last()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection first, WelcomeMessage welcome) = WireConnection.Attach(client, host.SocketPath);
        using WireConnection second = WireConnection.Open(client, host.SocketPath);

        second.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });

        Assert.Equal(GoodbyeReason.SessionEnded, Assert.IsType<GoodbyeMessage>(first.Receive()).Reason);
        Assert.Null(first.Receive());
        first.Dispose();
        Assert.Equal("active", second.Ask<StatusReplyMessage>(new StatusMessage()).State);
    }

    [Fact]
    public async Task Token_is_worth_nothing_to_another_process()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        using ClientProcess thief = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
        using (WireConnection stolen = WireConnection.Open(thief, host.SocketPath))
        {
            ErrorMessage error = stolen.Ask<ErrorMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });

            Assert.Equal((ErrorCode.NotFound, (int)Errno.ENOENT), (error.Code, error.Errno));
            connection.Ask<StatusReplyMessage>(new StatusMessage());
        }
    }

    [Fact]
    public async Task Forked_child_is_found_by_the_word_in_its_mailbox()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess parent = ClientProcess.Start();
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(parent, host.SocketPath);
        using (connection)
        {
            ulong memory = parent.Map("anon", 4 * Page).Address;
            ulong mailbox = parent.Map("anon", Page).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(memory, 4 * Page));
            connection.Ask<RegisteredMessage>(WireConnection.Register(mailbox, Page, flags: RegisterFlags.Mailbox));
            parent.WriteByte(memory, 77);

            parent.Run("fork");
            using ClientProcess child = parent.AcceptChild();
            _ = child.ReadByte(mailbox);
            byte[] word = new byte[8];
            Assert.Equal(Errno.OK, ProcessMemory.ReadRemote(child.Pid, mailbox, word, out _));
            ulong token = BitConverter.ToUInt64(word);
            Assert.NotEqual(0ul, token);
            using WireConnection own = WireConnection.Open(child, host.SocketPath);
            WelcomeMessage bound = own.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.ForkChild | HelloFlags.KeepsDescriptor) with { Token = token });

            Assert.Equal(WelcomeFlags.Uffd, bound.Flags);
            using SafeUffd uffd = own.Take<SafeUffd>(0);
            Assert.True(Userfaultfd.IsUserfaultfd(uffd));
            Assert.NotEqual(welcome.SessionId, bound.SessionId);
            Assert.Equal(77, child.ReadByte(memory));
            Assert.Equal(0, child.ReadByte(memory + Page));
            Assert.Equal(5 * Page, own.Ask<StatusReplyMessage>(new StatusMessage()).RegisteredBytes);

            // Guessing gets nobody anywhere.
            using WireConnection guess = WireConnection.Open(parent, host.SocketPath);
            Assert.Equal(ErrorCode.NotFound, guess.Ask<ErrorMessage>(WireConnection.Hello(HelloFlags.ForkChild) with { Token = token ^ 1 }).Code);
        }
    }

    [Fact]
    public async Task Bye_is_refused_while_only_the_source_has_pages_and_granted_once_they_are_there()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        byte[] image = new byte[8 * Page];
        new Random(3).NextBytes(image);
        await File.WriteAllBytesAsync(Path.Combine(host.Folder, "image"), image);
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath, "file");
        using (connection)
        {
            ulong address = client.Map("anon", 8 * Page).Address;
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 8 * Page, source: "image"));
            Assert.Equal((int)Errno.EBUSY, connection.Ask<ErrorMessage>(new ByeMessage()).Errno);

            Assert.Equal(8 * Page, connection.Ask<DoneMessage>(new PrefetchMessage(address, 8 * Page)).Value);
            connection.Ask<DoneMessage>(new ByeMessage());

            Assert.Null(connection.Receive());
            Assert.Equal(ClientProcess.Hash(image), client.HashRange(address, 8 * Page));
        }
    }

    [Fact]
    public async Task Paths_outside_the_tenants_directories_and_missing_files_are_refused()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        File.CreateSymbolicLink(Path.Combine(host.Folder, "link"), "/etc/passwd");
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath, "file");
        using (connection)
        {
            ulong address = client.Map("anon", Page).Address;
            foreach (string path in (string[])["/etc/passwd", "../../etc/passwd", "link", "nosuch", "."])
            {
                ErrorMessage error = connection.Ask<ErrorMessage>(WireConnection.Register(address, Page, source: path));
                Assert.Equal(ErrorCode.Source, error.Code);
            }

            connection.Ask<RegisteredMessage>(WireConnection.Register(address, Page, policy: "zero"));
            Assert.Equal(0, client.ReadByte(address));
        }
    }

    [Fact]
    public async Task Requests_sent_without_waiting_are_answered_in_order()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", 64 * Page).Address;
            for (ulong i = 0; i < 64; i += 2)
            {
                connection.Send(WireConnection.Register(address + (i * Page), Page));
                connection.Send(new WakeMessage(address + (i * Page), Page));
            }

            for (int i = 0; i < 32; i++)
            {
                Assert.IsType<RegisteredMessage>(connection.Receive());
                Assert.IsType<DoneMessage>(connection.Receive());
            }

            Assert.Equal(32ul, connection.Ask<StatusReplyMessage>(new StatusMessage()).Regions);
        }
    }

    [Fact]
    public async Task Ranges_that_make_no_sense_are_refused_and_the_connection_goes_on()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
        {
            ulong address = client.Map("anon", 4 * Page).Address;
            foreach (Message message in (Message[])
                [
                    WireConnection.Register(address, 0),
                    WireConnection.Register(address + 1, Page),
                    WireConnection.Register(address, ulong.MaxValue & ~(Page - 1)),
                    WireConnection.Register(0xffff_8000_0000_0000, Page),
                    WireConnection.Register(address, Page) with { Modes = RegisterModes.None },
                    WireConnection.Register(address, Page) with { SourceOffset = ulong.MaxValue },
                    WireConnection.Register(address, Page, source: "image", flags: RegisterFlags.Mailbox),
                    WireConnection.Register(address, Page, flags: RegisterFlags.FromMap),
                    WireConnection.Register(address, Page, flags: RegisterFlags.FromMap) with { MapId = 12345 },
                    new UnregisterMessage(address, ulong.MaxValue),
                    new UnregisterMessage(address, Page),
                    new PrefetchMessage(ulong.MaxValue, Page),
                    new WakeMessage(ulong.MaxValue, 2),
                    new WriteProtectMessage(address, 0, true),
                    new MapMessage(0, 0, MapFlags.None, "", "", ""),
                    new MapMessage(Page, 1, MapFlags.None, "", "", ""),
                    new MapMessage(ulong.MaxValue & ~(Page - 1), Page, MapFlags.None, "", "", ""),
                ])
            {
                Assert.NotEqual(ErrorCode.None, connection.Ask<ErrorMessage>(message).Code);
            }

            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
            Assert.Equal(0, client.ReadByte(address));
        }
    }

    [Fact]
    public async Task Connection_of_a_process_that_dies_is_closed()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        ClientProcess client = ClientProcess.Start();
        (WireConnection connection, _) = WireConnection.Attach(client, host.SocketPath);
        using (connection)
        {
            client.Kill();

            // The test still holds the socket, so only the manager's word says that the session is over.
            Assert.Equal(GoodbyeReason.SessionEnded, Assert.IsType<GoodbyeMessage>(connection.Receive()).Reason);
            Assert.Null(connection.Receive());
        }

        client.Dispose();
        Eventually.True(() => host.Telemetry.Open == 0);
    }
}
