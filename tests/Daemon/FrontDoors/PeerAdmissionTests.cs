using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>Who is let in, and what HELLO leads to.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class PeerAdmissionTests
{
    [Fact]
    public async Task Unknown_peer_is_refused_with_the_reason()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync("""
            { "policies": { "zero": {} }, "tenants": { "others": { "match": { "uids": [4242] }, "defaultPolicy": "zero" } } }
            """);
        using var peer = new RawPeer(host.SocketPath);

        ErrorMessage error = peer.Receive<ErrorMessage>();

        Assert.Equal((ErrorCode.RefusedPeer, (int)Errno.EACCES), (error.Code, error.Errno));
        Assert.Contains("uid", error.Text, StringComparison.Ordinal);
        Assert.Null(peer.Receive());
        Assert.Equal([PeerRefusal.UnknownPeer], host.Telemetry.Refusals);
    }

    [Theory]
    [InlineData("""{ "listen": { "maxConnections": 2 }, "policies": { "zero": {} }, "tenants": { "all": { "default": true, "defaultPolicy": "zero" } } }""", nameof(PeerRefusal.ListenerFull))]
    [InlineData("""{ "policies": { "zero": {} }, "tenants": { "all": { "default": true, "defaultPolicy": "zero", "limits": { "connections": 2 } } } }""", nameof(PeerRefusal.ConnectionLimit))]
    public async Task Connection_over_a_limit_is_refused_until_another_closes(string configuration, string reason)
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync(configuration);
        using var first = new RawPeer(host.SocketPath);
        using var second = new RawPeer(host.SocketPath);
        first.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));
        second.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));

        using (var third = new RawPeer(host.SocketPath))
        {
            Assert.Equal(ErrorCode.Limit, third.Receive<ErrorMessage>().Code);
            Assert.Null(third.Receive());
        }

        Assert.Equal([reason], host.Telemetry.Refusals.Select(found => found.ToString()));
        second.Dispose();
        Eventually.True(() => host.Telemetry.Open == 1);
        using var fourth = new RawPeer(host.SocketPath);
        fourth.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));
    }

    [Theory]
    [InlineData(2, 5, true)]
    [InlineData(0, 0, true)]
    [InlineData(0, 9, false)]
    public async Task Versions_without_a_common_one_end_the_connection(ushort min, ushort max, bool refused)
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var peer = new RawPeer(host.SocketPath);
        HelloMessage hello = RawPeer.Hello(HelloFlags.NoSession) with { MinVersion = min, MaxVersion = max };

        if (refused)
        {
            ErrorMessage error = peer.Ask<ErrorMessage>(hello);
            Assert.Equal((ErrorCode.Version, (int)Errno.EPROTONOSUPPORT), (error.Code, error.Errno));
            Assert.Null(peer.Receive());
        }
        else
        {
            Assert.Equal(1, peer.Ask<WelcomeMessage>(hello).Version);
        }
    }

    [Theory]
    [InlineData(HelloFlags.None, 0)]
    [InlineData(HelloFlags.WantDevice | HelloFlags.NoSession, 0)]
    [InlineData(HelloFlags.NoSession | HelloFlags.ApiDone, 0)]
    [InlineData(HelloFlags.NoSession | HelloFlags.Adopt, 0)]
    [InlineData(HelloFlags.ForkChild, 0)]
    [InlineData(HelloFlags.Resume, 0)]
    [InlineData(HelloFlags.NoSession, 7)]
    public async Task Hello_that_makes_no_sense_is_refused_and_may_be_repeated(HelloFlags flags, ulong token)
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var peer = new RawPeer(host.SocketPath);

        ErrorMessage error = peer.Ask<ErrorMessage>(RawPeer.Hello(flags, token));

        Assert.Equal((ErrorCode.Protocol, (int)Errno.EINVAL), (error.Code, error.Errno));
        peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));
    }

    [Fact]
    public async Task Requests_are_refused_in_states_that_do_not_allow_them()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var peer = new RawPeer(host.SocketPath);
        Assert.Equal(ErrorCode.State, peer.Ask<ErrorMessage>(new StatusMessage()).Code);
        Assert.Equal(ErrorCode.State, peer.Ask<ErrorMessage>(new WakeMessage(0x1000, 0x1000)).Code);

        peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));

        Assert.Equal(ErrorCode.State, peer.Ask<ErrorMessage>(RawPeer.Hello(HelloFlags.NoSession)).Code);
        Assert.Equal(ErrorCode.State, peer.Ask<ErrorMessage>(new ByeMessage()).Code);
        Assert.Equal("control", peer.Ask<StatusReplyMessage>(new StatusMessage()).State);
        Assert.Equal(4, host.Telemetry.Errors.Count(reason => reason == ProtocolErrorReason.BadState));
    }

    [Fact]
    public async Task Policy_that_the_tenant_may_not_use_is_refused()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync("""
            { "policies": { "zero": {}, "secret": {} }, "tenants": { "all": { "default": true, "defaultPolicy": "zero" } } }
            """);
        using var peer = new RawPeer(host.SocketPath);

        ErrorMessage forbidden = peer.Ask<ErrorMessage>(RawPeer.Hello(HelloFlags.NoSession, policy: "secret"));
        ErrorMessage unknown = peer.Ask<ErrorMessage>(RawPeer.Hello(HelloFlags.NoSession, policy: "nosuch"));

        Assert.Equal(ErrorCode.Policy, forbidden.Code);
        Assert.Equal(forbidden.Text.Replace("secret", "nosuch", StringComparison.Ordinal), unknown.Text);
        Assert.Equal(("all", "zero"), peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession)) is { } welcome ? (welcome.Tenant, welcome.Policy) : default);
    }

    [Fact]
    public async Task Stop_says_goodbye_and_removes_the_socket()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var peer = new RawPeer(host.SocketPath);
        peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));

        await host.StopDoorAsync();

        Assert.Equal(GoodbyeReason.ShuttingDown, peer.Receive<GoodbyeMessage>().Reason);
        Assert.Null(peer.Receive());
        Assert.False(File.Exists(host.SocketPath));
    }

    [Fact]
    public async Task Socket_that_listens_already_is_used_and_its_path_is_left_alone()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync(handSocketIn: true);
        using var peer = new RawPeer(host.SocketPath);
        peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));

        await host.StopDoorAsync();

        Assert.True(File.Exists(host.SocketPath));
    }
}
