using UffdManager.EndToEnd.Tests;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>Clients that come back to a manager, message by message.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class ResumeTests
{
    private const ulong Page = 4096;

    private const HelloFlags Again = HelloFlags.Resume | HelloFlags.HasUffd | HelloFlags.ApiDone | HelloFlags.Adopt | HelloFlags.KeepsDescriptor;

    /// <summary>
    /// While the manager does not answer, a client gives up and tries again. When it answers at last, the dead attempts are first in its queue; none
    /// of them may get what the living connection needs.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Attempts_that_the_client_gave_up_do_not_take_the_session_from_the_last_one(bool sameManager)
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        ulong address = client.Map("anon", 4 * Page).Address;
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None);
        using WireConnection first = WireConnection.Open(client, daemons.SocketPath);
        WelcomeMessage welcome = first.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd | HelloFlags.KeepsDescriptor), uffd);
        first.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
        HelloMessage hello = WireConnection.Hello(Again) with { Token = welcome.ResumeToken };
        if (!sameManager)
        {
            daemons.Kill();
            await daemons.StartNextAsync();
        }

        daemons.Current.Suspend();
        first.Dispose();
        for (int attempt = 0; attempt < 5; attempt++)
        {
            using WireConnection given = WireConnection.Open(client, daemons.SocketPath);
            given.Send(hello, uffd);
        }

        using WireConnection last = WireConnection.Open(client, daemons.SocketPath);
        last.Send(hello, uffd);
        daemons.Current.Continue();

        WelcomeMessage again = Assert.IsType<WelcomeMessage>(last.Receive());
        Assert.Equal(sameManager ? WelcomeFlags.Resumed : WelcomeFlags.None, again.Flags);
        if (!sameManager)
            last.Ask<DoneMessage>(new WakeMessage(0, 0));
        Assert.Equal(0, client.ReadByte(address));
        Assert.Equal("active", last.Ask<StatusReplyMessage>(new StatusMessage()).State);
        Assert.Equal(0, client.ReadByte(address + Page));
        Assert.Contains("uffd_manager_sessions{tenant=\"everybody\"} 1\n", await daemons.Current.GetAsync("metrics"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Adoption_that_was_interrupted_is_not_taken_for_a_session_that_needs_nothing()
    {
        await using DaemonSequence daemons = await DaemonSequence.StartAsync();
        using ClientProcess client = ClientProcess.Start();
        ulong address = client.Map("anon", 4 * Page).Address;
        using SafeUffd uffd = client.OpenUffd(UffdOpenFlags.None);
        using WireConnection first = WireConnection.Open(client, daemons.SocketPath);
        WelcomeMessage welcome = first.Ask<WelcomeMessage>(WireConnection.Hello(HelloFlags.HasUffd | HelloFlags.KeepsDescriptor), uffd);
        first.Ask<RegisteredMessage>(WireConnection.Register(address, 4 * Page));
        daemons.Kill();
        await daemons.StartNextAsync();

        WelcomeMessage adopted;
        using (WireConnection second = WireConnection.Open(client, daemons.SocketPath))
            adopted = second.Ask<WelcomeMessage>(WireConnection.Hello(Again) with { Token = welcome.ResumeToken }, uffd);
        using WireConnection third = WireConnection.Open(client, daemons.SocketPath);
        WelcomeMessage byToken = third.Ask<WelcomeMessage>(WireConnection.Hello(Again) with { Token = adopted.ResumeToken }, uffd);
        third.Dispose();

        // As if neither WELCOME had arrived: the token is one that this manager never gave out.
        using WireConnection fourth = WireConnection.Open(client, daemons.SocketPath);
        WelcomeMessage byDescriptor = fourth.Ask<WelcomeMessage>(WireConnection.Hello(Again) with { Token = welcome.ResumeToken }, uffd);

        Assert.Equal((WelcomeFlags.None, adopted.SessionId), (byToken.Flags, byToken.SessionId));
        Assert.Equal((WelcomeFlags.None, adopted.SessionId), (byDescriptor.Flags, byDescriptor.SessionId));
        fourth.Ask<DoneMessage>(new WakeMessage(0, 0));
        Assert.Equal(0, client.ReadByte(address));
        using WireConnection fifth = WireConnection.Open(client, daemons.SocketPath);
        WelcomeMessage whole = fifth.Ask<WelcomeMessage>(WireConnection.Hello(Again) with { Token = byDescriptor.ResumeToken }, uffd);
        Assert.Equal((WelcomeFlags.Resumed, adopted.SessionId), (whole.Flags, whole.SessionId));
    }
}
