using System.Net;
using System.Net.Sockets;
using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.Supervision;

/// <summary>One manager follows another that finds something amiss: the configuration, a port that is taken, the state of a session.</summary>
[Collection(SupervisionCollection.Name)]
public sealed class HamperedSuccessionTests : SuccessionTest
{
    [Fact]
    public void Successor_that_cannot_start_leaves_the_sessions_to_the_next()
    {
        (ulong address, _) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        int port = ((IPEndPoint)taken.LocalEndpoint).Port;
        using (SupervisedDaemon second = SupervisedDaemon.Start(Folder, Manager, environment: new Dictionary<string, string> { ["UFFD_MANAGER__metrics__port"] = $"{port}" }))
        {
            Assert.Equal(69, second.WaitForExit());
            second.WaitForLog("1 sessions are left in the descriptor store");
        }

        Assert.False(Client.HasExited);
        PendingReply waiting = Client.Begin($"read {address + (2 * Page)}", thread: 1);
        using SupervisedDaemon third = SupervisedDaemon.StartReady(Folder, Manager);
        Assert.Equal(3ul, waiting.AwaitValue());
        Assert.Equal(4, Client.ReadByte(address + (3 * Page)));
    }

    [Fact]
    public void Tenant_that_the_configuration_has_dropped_goes_on_with_what_it_had()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);

        Folder.Configure("""
            { "policies": { "zero": {} }, "tenants": { "strangers": { "default": true, "defaultPolicy": "zero" } } }
            """);
        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        second.WaitForLog("Tenant everybody has restored sessions and is not in the configuration any more");
        Assert.Equal(3, Client.ReadByte(address + (2 * Page)));
        using WireConnection connection = WireConnection.Open(Client, Folder.Socket);
        WelcomeMessage resumed = connection.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.Resume) with { Token = welcome.ResumeToken });
        Assert.Equal((WelcomeFlags.Resumed, "file"), (resumed.Flags, resumed.Policy));
        Assert.Equal("everybody", connection.Ask<StatusReplyMessage>(new StatusMessage()).Tenant);

        // It keeps its policy, and opens nothing new.
        Assert.Equal(ErrorCode.Source, RegisterFile(connection, Folder.MakeSource(4))?.Code);
        Assert.Equal(ErrorCode.Policy, connection.Ask<ErrorMessage>(WireConnection.Register(address, Page, "zero")).Code);
    }

    [Fact]
    public void Manager_that_cannot_start_while_sessions_wait_asks_to_be_tried_again()
    {
        (ulong address, _) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);

        Folder.Configure("{ not json");
        using (SupervisedDaemon broken = SupervisedDaemon.Start(Folder, Manager))
        {
            Assert.Equal(75, broken.WaitForExit());
            broken.WaitForLog("sessions of the manager before this one wait");
        }

        Assert.DoesNotContain(Manager.Messages, message => message.Has("FDSTOREREMOVE=1") && message.Value("FDNAME") != "probe");
        Folder.Configure(SupervisedFolder.Everybody);
        using SupervisedDaemon mended = SupervisedDaemon.StartReady(Folder, Manager);
        Assert.Equal(2, Client.ReadByte(address + Page));
    }

    [Fact]
    public void Configuration_that_is_broken_without_sessions_says_what_it_always_said()
    {
        Folder.Configure("{ not json");
        using SupervisedDaemon broken = SupervisedDaemon.Start(Folder, Manager);
        Assert.Equal(78, broken.WaitForExit());
    }

    [Fact]
    public void Session_whose_state_was_lost_is_ended_by_force_and_said_so()
    {
        (ulong address, WelcomeMessage welcome) = BeginWithFile(4, out SupervisedDaemon first);
        using (first)
            first.End(Kill);
        foreach ((string name, SafeFd descriptor) in Manager.Lend())
        {
            // The userfaultfd alone is left: nobody knows what its pages are.
            if (name == $"session-{welcome.SessionId}" && FileIo.ReadDescriptorLink(descriptor).Contains("userfaultfd", StringComparison.Ordinal))
            {
                Manager.Lose(name);
                Manager.Plant(name, SafeFile.Adopt(descriptor.Disown()));
            }

            descriptor.Dispose();
        }

        using SupervisedDaemon second = SupervisedDaemon.StartReady(Folder, Manager);
        string line = second.WaitForLog("could not be restored");
        Assert.Contains($"Session {welcome.SessionId} ", line, StringComparison.Ordinal);

        // Never zeros: it is killed, or gets SIGBUS.
        ClientReply? reply = null;
        try
        {
            reply = Client.Try($"read {address + Page}");
        }
        catch (Exception e) when (e is EndOfStreamException or SyscallException or AggregateException)
        {
            Client.WaitForExit();
        }

        Assert.True(reply is null or { Signal: ClientReply.Sigbus }, $"signal {reply?.Signal}; the log:\n{string.Join('\n', second.Log)}");
    }
}
