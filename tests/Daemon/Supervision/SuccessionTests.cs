using System.Net;
using UffdManager.Daemon.Tests.Control;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>One manager follows another: sessions, tokens, objects, sources and limits go on.</summary>
[Collection(SupervisionCollection.Name)]
public sealed class SuccessionTests : IDisposable
{
    private const int Kill = 9;
    private const int Terminate = 15;
    private const ulong Page = 4096;

    private readonly SupervisedFolder _folder = new();
    private readonly FakeServiceManager _manager = new();
    private readonly ClientProcess _client = ClientProcess.Start();

    public void Dispose()
    {
        _client.Dispose();
        _manager.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task Killed_manager_is_followed_by_one_that_serves_the_same_contents_to_the_same_token()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(16, out SupervisedDaemon first);
        using (first)
        {
            Assert.Equal(1, _client.ReadByte(address));
            first.End(Kill);
        }

        // Nobody serves now: who faults waits, and gets the right page from the next manager.
        PendingReply waiting = _client.Begin($"read {address + (5 * Page)}", thread: 1);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(6ul, waiting.AwaitValue());
        second.WaitForLog("1 restored, 0 gone, 0 failed, 0 descriptors of none");
        using WireConnection connection = WireConnection.Open(_client, _folder.Socket);
        WelcomeMessage resumed = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });
        Assert.Equal((WelcomeFlags.Resumed, welcome.SessionId, "file"), (resumed.Flags, resumed.SessionId, resumed.Policy));
        Assert.Equal(welcome.ResumeToken, resumed.ResumeToken);
        for (uint page = 0; page < 16; page++)
            Assert.Equal(page + 1, _client.ReadByte(address + (page * Page)));
        Assert.Equal("active", connection.Ask<StatusReplyMessage>(new StatusMessage()).State);
        string metrics = await second.GetAsync("metrics");
        Assert.Contains("uffd_manager_restored_sessions_total{outcome=\"restored\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_restored_sessions_total{outcome=\"failed\"} 0", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_descriptor_store_keeps 1", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public void Successor_that_cannot_start_leaves_the_sessions_to_the_next()
    {
        (ulong address, _) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);
        using System.Net.Sockets.TcpListener taken = new(System.Net.IPAddress.Loopback, 0);
        taken.Start();
        int port = ((System.Net.IPEndPoint)taken.LocalEndpoint).Port;
        using (SupervisedDaemon second = SupervisedDaemon.Start(_folder, _manager, environment: new Dictionary<string, string> { ["UFFD_MANAGER__metrics__port"] = $"{port}" }))
        {
            Assert.Equal(69, second.WaitForExit());
            second.WaitForLog("1 sessions are left in the descriptor store");
        }

        Assert.False(_client.HasExited);
        PendingReply waiting = _client.Begin($"read {address + (2 * Page)}", thread: 1);
        using SupervisedDaemon third = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(3ul, waiting.AwaitValue());
        Assert.Equal(4, _client.ReadByte(address + (3 * Page)));
    }

    [Fact]
    public void Manager_that_is_terminated_hands_over_without_a_word_to_its_clients()
    {
        using SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager);
        first.WaitForLog("keeps the descriptors");
        ulong address = _client.Map("anon", 4 * Page).Address;
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(_client, _folder.Socket);
        using (connection)
        {
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
            _client.WriteByte(address, 77);
            Assert.Equal(0, first.End(Terminate).ExitCode);
            Assert.Null(connection.Receive());
        }

        first.WaitForLog("Handed over: 1 sessions");
        Assert.DoesNotContain(first.Log, line => line.Contains("ended", StringComparison.Ordinal));
        Assert.Contains(_manager.Messages, message => message.Has("STOPPING=1"));
        Assert.Contains($"session-{welcome.SessionId}", _manager.Names);
        Assert.False(_client.HasExited);

        // Who comes while nobody is there waits in the backlog of the socket that outlived its manager.
        using WireConnection early = WireConnection.Open(_client, _folder.Socket);
        early.Send(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(WelcomeFlags.Resumed, Assert.IsType<WelcomeMessage>(early.Receive()).Flags);
        Assert.Equal(77, _client.ReadByte(address));
        Assert.Equal(0, _client.ReadByte(address + Page));
    }

    [Fact]
    public async Task Manager_that_has_given_its_sessions_away_says_that_it_stops_and_not_that_there_are_none()
    {
        // It waits for the service manager with its last messages, and goes on answering: as long as nobody reads them.
        using SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager);
        first.WaitForLog("keeps the descriptors");
        using ControlClient control = new(_folder.Control);
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(_client, _folder.Socket);
        using (connection)
        {
            _manager.WaitForName($"session-{welcome.SessionId}");
            string request = $"GET /v1/sessions/{welcome.SessionId}";
            await control.AskAsync(request);
            _manager.PausesAt = message => message.Has("STOPPING=1");
            first.Signal(Terminate);
            Assert.Null(connection.Receive());
            await control.AskUntilRefusedAsync(request);
            foreach (string what in (string[])[request, "GET /v1/sessions", "GET /v1/regions", $"GET {request[4..]}/tracking"])
                Assert.Equal("the daemon stops", (await control.AskAsync(what, HttpStatusCode.ServiceUnavailable)).GetProperty("detail").GetString());
            _manager.PausesAt = null;
            _manager.Pause(paused: false);
            Assert.Equal(0, first.WaitForExit());
        }
    }

    [Fact]
    public void Session_is_found_again_by_its_userfaultfd_when_its_token_was_never_heard()
    {
        ulong session;
        using SafeUffd uffd = _client.OpenUffd();
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        using (WireConnection connection = WireConnection.Open(_client, _folder.Socket))
        {
            session = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd), uffd).SessionId;
            first.End(Kill);
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        using WireConnection again = WireConnection.Open(_client, _folder.Socket);
        WelcomeMessage welcome = again.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd | HelloFlags.ApiDone), uffd);
        Assert.Equal((WelcomeFlags.Resumed, session), (welcome.Flags, welcome.SessionId));
        Assert.NotEqual(0ul, welcome.ResumeToken);
    }

    [Fact]
    public void Object_that_no_range_shows_yet_and_its_number_outlive_the_manager()
    {
        string source = _folder.MakeSource(8);
        ulong token;
        ulong id;
        int number;
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(_folder, _manager))
        {
            (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(_client, _folder.Socket, "file");
            using (connection)
            using (SafeFile file = FileIo.Open(source, OpenFlags.ReadOnly))
            {
                MappedMessage mapped = connection.Ask<MappedMessage>(new MapMessage(8 * Page, 0, MapFlags.SourceFd | MapFlags.Writable, "", "", "board"), file);
                using SafeFile memfd = connection.Take<SafeFile>(0);
                (token, id, number) = (welcome.ResumeToken, mapped.MapId, _client.Give(memfd));
            }

            first.End(Kill);
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        using WireConnection again = WireConnection.Open(_client, _folder.Socket);
        again.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = token });
        ulong address = _client.Run($"mapfd {number} 0 {8 * Page} 1 3");
        again.Ask<RegisteredMessage>(new RegisterMessage(
            address, 8 * Page, RegisterModes.Missing | RegisterModes.Minor, RegisterFlags.FromMap, SourceOffset: 0, id, Policy: "", Source: ""));
        for (uint page = 0; page < 8; page++)
            Assert.Equal(page + 1, _client.ReadByte(address + (page * Page)));

        // The name is taken, by the same object.
        using SafeFile once = FileIo.Open(source, OpenFlags.ReadOnly);
        Assert.Equal(id, again.Ask<MappedMessage>(new MapMessage(8 * Page, 0, MapFlags.SourceFd | MapFlags.Writable, "", "", "board"), once).MapId);
        again.Take<SafeFile>(0).Dispose();
    }

    [Fact]
    public void Restored_sources_and_objects_are_charged_to_their_tenant_and_shared_again()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(4, out SupervisedDaemon first, out string source);
        using (first)
            first.End(Kill);

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        using WireConnection connection = WireConnection.Open(_client, _folder.Socket);
        connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });

        // The limit is two: the restored one is the first, the same file again costs nothing, and the third does not fit.
        Assert.Null(RegisterFile(connection, source));
        Assert.Null(RegisterFile(connection, _folder.MakeSource(4)));
        Assert.Equal(ErrorCode.Limit, RegisterFile(connection, _folder.MakeSource(4))?.Code);
        Assert.Equal(1, _client.ReadByte(address));
    }

    [Fact]
    public void Tenant_that_the_configuration_has_dropped_goes_on_with_what_it_had()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);

        _folder.Configure("""
            { "policies": { "zero": {} }, "tenants": { "strangers": { "default": true, "defaultPolicy": "zero" } } }
            """);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        second.WaitForLog("Tenant everybody has restored sessions and is not in the configuration any more");
        Assert.Equal(3, _client.ReadByte(address + (2 * Page)));
        using WireConnection connection = WireConnection.Open(_client, _folder.Socket);
        WelcomeMessage resumed = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });
        Assert.Equal((WelcomeFlags.Resumed, "file"), (resumed.Flags, resumed.Policy));
        Assert.Equal("everybody", connection.Ask<StatusReplyMessage>(new StatusMessage()).Tenant);

        // It keeps its policy, and opens nothing new.
        Assert.Equal(ErrorCode.Source, RegisterFile(connection, _folder.MakeSource(4))?.Code);
        Assert.Equal(ErrorCode.Policy, connection.Ask<ErrorMessage>(WireConnection.Register(address, Page, "zero")).Code);
    }

    [Fact]
    public void Manager_that_cannot_start_while_sessions_wait_asks_to_be_tried_again()
    {
        (ulong address, _) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);

        _folder.Configure("{ not json");
        using (SupervisedDaemon broken = SupervisedDaemon.Start(_folder, _manager))
        {
            Assert.Equal(75, broken.WaitForExit());
            broken.WaitForLog("sessions of the manager before this one wait");
        }

        Assert.DoesNotContain(_manager.Messages, message => message.Has("FDSTOREREMOVE=1") && message.Value("FDNAME") != "probe");
        _folder.Configure(SupervisedFolder.Everybody);
        using SupervisedDaemon mended = SupervisedDaemon.StartReady(_folder, _manager);
        Assert.Equal(2, _client.ReadByte(address + Page));
    }

    [Fact]
    public void Configuration_that_is_broken_without_sessions_says_what_it_always_said()
    {
        _folder.Configure("{ not json");
        using SupervisedDaemon broken = SupervisedDaemon.Start(_folder, _manager);
        Assert.Equal(78, broken.WaitForExit());
    }

    [Fact]
    public void Session_whose_state_was_lost_is_ended_by_force_and_said_so()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);
        foreach ((string name, SafeFd descriptor) in _manager.Lend())
        {
            // The userfaultfd alone is left: nobody knows what its pages are.
            if (name == $"session-{welcome.SessionId}" && InheritedLink(descriptor).Contains("userfaultfd", StringComparison.Ordinal))
            {
                _manager.Lose(name);
                _manager.Plant(name, SafeFile.Adopt(descriptor.Disown()));
            }

            descriptor.Dispose();
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(_folder, _manager);
        string line = second.WaitForLog("could not be restored");
        Assert.Contains($"Session {welcome.SessionId} ", line, StringComparison.Ordinal);

        // Never zeros: it is killed, or gets SIGBUS.
        ClientReply? reply = null;
        try
        {
            reply = _client.Try($"read {address + Page}");
        }
        catch (Exception e) when (e is EndOfStreamException or SyscallException or AggregateException)
        {
            _client.WaitForExit();
        }

        Assert.True(reply is null or { Signal: ClientReply.Sigbus }, $"signal {reply?.Signal}; the log:\n{string.Join('\n', second.Log)}");
    }

    private static string InheritedLink(SafeFd descriptor) => FileIo.ReadDescriptorLink(descriptor);

    private (ulong Address, WelcomeMessage Welcome) BeginWithFile(int pages, out SupervisedDaemon daemon) => BeginWithFile(pages, out daemon, out _);

    private (ulong Address, WelcomeMessage Welcome) BeginWithFile(int pages, out SupervisedDaemon daemon, out string source)
    {
        source = _folder.MakeSource(pages);
        daemon = SupervisedDaemon.StartReady(_folder, _manager);
        ulong address = _client.Map("anon", (ulong)pages * Page).Address;
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(_client, _folder.Socket, "file");
        using (connection)
        using (SafeFile file = FileIo.Open(source, OpenFlags.ReadOnly))
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, (ulong)pages * Page, flags: RegisterFlags.SourceFd), file);
        _manager.WaitForName("source-");
        _manager.WaitForName($"session-{welcome.SessionId}");
        return (address, welcome);
    }

    private ErrorMessage? RegisterFile(WireConnection connection, string path)
    {
        ulong address = _client.Map("anon", Page).Address;
        using SafeFile file = FileIo.Open(path, OpenFlags.ReadOnly);
        connection.Send(WireConnection.Register(address, Page, flags: RegisterFlags.SourceFd), file);
        return connection.Receive() as ErrorMessage;
    }
}
