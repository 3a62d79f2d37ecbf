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
public sealed class SuccessionTests : SuccessionTest
{
    [Fact]
    public async Task Killed_manager_is_followed_by_one_that_serves_the_same_contents_to_the_same_token()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(16, out SupervisedDaemon first);
        using (first)
        {
            Assert.Equal(1, Client.ReadByte(address));
            first.End(Kill);
        }

        // Nobody serves now: who faults waits, and gets the right page from the next manager.
        PendingReply waiting = Client.Begin($"read {address + (5 * Page)}", thread: 1);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        Assert.Equal(6ul, waiting.AwaitValue());
        second.WaitForLog("1 restored, 0 gone, 0 failed, 0 descriptors of none");
        using WireConnection connection = WireConnection.Open(Client, Folder.Socket);
        WelcomeMessage resumed = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });
        Assert.Equal((WelcomeFlags.Resumed, welcome.SessionId, "file"), (resumed.Flags, resumed.SessionId, resumed.Policy));
        Assert.Equal(welcome.ResumeToken, resumed.ResumeToken);
        for (uint page = 0; page < 16; page++)
            Assert.Equal(page + 1, Client.ReadByte(address + (page * Page)));
        Assert.Equal("active", connection.Ask<StatusReplyMessage>(new StatusMessage()).State);
        string metrics = await second.GetAsync("metrics");
        Assert.Contains("uffd_manager_restored_sessions_total{outcome=\"restored\"} 1", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_restored_sessions_total{outcome=\"failed\"} 0", metrics, StringComparison.Ordinal);
        Assert.Contains("uffd_manager_descriptor_store_keeps 1", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public void Manager_that_is_terminated_hands_over_without_a_word_to_itsClients()
    {
        using SupervisedDaemon first = SupervisedDaemon.StartReady(Folder, Manager);
        first.WaitForLog("keeps the descriptors");
        ulong address = Client.Map("anon", 4 * Page).Address;
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(Client, Folder.Socket);
        using (connection)
        {
            connection.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
            Client.WriteByte(address, 77);
            Assert.Equal(0, first.End(Terminate).ExitCode);
            Assert.Null(connection.Receive());
        }

        first.WaitForLog("Handed over: 1 sessions");
        Assert.DoesNotContain(first.Log, line => line.Contains("ended", StringComparison.Ordinal));
        Assert.Contains(Manager.Messages, message => message.Has("STOPPING=1"));
        Assert.Contains($"session-{welcome.SessionId}", Manager.Names);
        Assert.False(Client.HasExited);

        // Who comes while nobody is there waits in the backlog of the socket that outlived its manager.
        using WireConnection early = WireConnection.Open(Client, Folder.Socket);
        early.Send(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });
        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        Assert.Equal(WelcomeFlags.Resumed, Assert.IsType<WelcomeMessage>(early.Receive()).Flags);
        Assert.Equal(77, Client.ReadByte(address));
        Assert.Equal(0, Client.ReadByte(address + Page));
    }

    [Fact]
    public async Task Manager_that_has_given_its_sessions_away_says_that_it_stops_and_not_that_there_are_none()
    {
        // It waits for the service manager with its last messages, and goes on answering: as long as nobody reads them.
        using SupervisedDaemon first = SupervisedDaemon.StartReady(Folder, Manager);
        first.WaitForLog("keeps the descriptors");
        using ControlClient control = new(Folder.Control);
        (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(Client, Folder.Socket);
        using (connection)
        {
            Manager.WaitForName($"session-{welcome.SessionId}");
            string request = $"GET /v1/sessions/{welcome.SessionId}";
            await control.AskAsync(request);
            Manager.PausesAt = message => message.Has("STOPPING=1");
            first.Signal(Terminate);
            Assert.Null(connection.Receive());
            await control.AskUntilRefusedAsync(request);
            foreach (string what in (string[])[request, "GET /v1/sessions", "GET /v1/regions", $"GET {request[4..]}/tracking"])
                Assert.Equal("the daemon stops", (await control.AskAsync(what, HttpStatusCode.ServiceUnavailable)).GetProperty("detail").GetString());
            Manager.PausesAt = null;
            Manager.Pause(paused: false);
            Assert.Equal(0, first.WaitForExit());
        }
    }

    [Fact]
    public void Session_is_found_again_by_its_userfaultfd_when_its_token_was_never_heard()
    {
        ulong session;
        using SafeUffd uffd = Client.OpenUffd();
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(Folder, Manager))
        using (WireConnection connection = WireConnection.Open(Client, Folder.Socket))
        {
            session = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd), uffd).SessionId;
            first.End(Kill);
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        using WireConnection again = WireConnection.Open(Client, Folder.Socket);
        WelcomeMessage welcome = again.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd | HelloFlags.ApiDone), uffd);
        Assert.Equal((WelcomeFlags.Resumed, session), (welcome.Flags, welcome.SessionId));
        Assert.NotEqual(0ul, welcome.ResumeToken);
    }

    [Fact]
    public void Object_that_no_range_shows_yet_and_its_number_outlive_the_manager()
    {
        string source = Folder.MakeSource(8);
        ulong token;
        ulong id;
        int number;
        using (SupervisedDaemon first = SupervisedDaemon.StartReady(Folder, Manager))
        {
            (WireConnection connection, WelcomeMessage welcome) = WireConnection.Attach(Client, Folder.Socket, "file");
            using (connection)
            using (SafeFile file = FileIo.Open(source, OpenFlags.ReadOnly))
            {
                MappedMessage mapped = connection.Ask<MappedMessage>(new MapMessage(8 * Page, 0, MapFlags.SourceFd | MapFlags.Writable, "", "", "board"), file);
                using SafeFile memfd = connection.Take<SafeFile>(0);
                (token, id, number) = (welcome.ResumeToken, mapped.MapId, Client.Give(memfd));
            }

            first.End(Kill);
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        using WireConnection again = WireConnection.Open(Client, Folder.Socket);
        again.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = token });
        ulong address = Client.Run($"mapfd {number} 0 {8 * Page} 1 3");
        again.Ask<RegisteredMessage>(new RegisterMessage(
            address, 8 * Page, RegisterModes.Missing | RegisterModes.Minor, RegisterFlags.FromMap, SourceOffset: 0, id, Policy: "", Source: ""));
        for (uint page = 0; page < 8; page++)
            Assert.Equal(page + 1, Client.ReadByte(address + (page * Page)));

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

        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        using WireConnection connection = WireConnection.Open(Client, Folder.Socket);
        connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });

        // The limit is two: the restored one is the first, the same file again costs nothing, and the third does not fit.
        Assert.Null(RegisterFile(connection, source));
        Assert.Null(RegisterFile(connection, Folder.MakeSource(4)));
        Assert.Equal(ErrorCode.Limit, RegisterFile(connection, Folder.MakeSource(4))?.Code);
        Assert.Equal(1, Client.ReadByte(address));
    }
}
