using System.Buffers.Binary;
using UffdManager.Daemon.Hosting;
using UffdManager.Linux;
using UffdManager.Protocol;
using UffdManager.TestSupport;
using Xunit;

namespace UffdManager.Daemon.Tests.FrontDoors;

/// <summary>Peers that break the protocol, say nothing, send too much or do not read: each hurts itself alone.</summary>
[Collection(FrontDoorCollection.Name)]
public sealed class HostilePeerTests
{
    private const string Impatient = """
        {
          "listen": { "firstMessageTimeout": "200ms" },
          "policies": { "zero": {} },
          "tenants": { "everybody": { "default": true, "defaultPolicy": "zero" } }
        }
        """;

    public static TheoryData<string, string> Broken => new()
    {
        { nameof(ProtocolErrorReason.BadMagic), "garbage" },
        { nameof(ProtocolErrorReason.BadMagic), "one byte" },
        { nameof(ProtocolErrorReason.BadVersion), "version" },
        { nameof(ProtocolErrorReason.BadLength), "length" },
        { nameof(ProtocolErrorReason.BadLength), "huge length" },
        { nameof(ProtocolErrorReason.BadBody), "header flags" },
        { nameof(ProtocolErrorReason.BadBody), "body cut" },
        { nameof(ProtocolErrorReason.BadBody), "bytes behind the body" },
        { nameof(ProtocolErrorReason.BadBody), "label too long" },
        { nameof(ProtocolErrorReason.BadBody), "label not UTF-8" },
        { nameof(ProtocolErrorReason.BadBody), "unknown flag" },
        { nameof(ProtocolErrorReason.BadBody), "no request id" },
        { nameof(ProtocolErrorReason.BadState), "an answer" },
        { nameof(ProtocolErrorReason.BadState), "a message of the manager" },
        { nameof(ProtocolErrorReason.BadDescriptorCount), "announced descriptor missing" },
        { nameof(ProtocolErrorReason.TooLong), "65,537 bytes" },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Broken_message_is_told_counted_and_ends_the_connection(string reason, string kind)
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var peer = new RawPeer(host.SocketPath);

        peer.Send(Break(kind));

        ErrorMessage error = peer.Receive<ErrorMessage>();
        Assert.Equal(((int)Errno.EPROTO, ErrorCode.Protocol), (error.Errno, error.Code));
        Assert.Null(peer.Receive());
        Assert.Equal([reason], host.Telemetry.Errors.Select(found => found.ToString()));
        Eventually.True(() => host.Telemetry.Open == 0);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(253)]
    public async Task Descriptors_that_were_not_announced_are_closed_with_the_connection(int count)
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using SafeEventFd descriptor = EventFd.Create();
        using var peer = new RawPeer(host.SocketPath);
        Assert.IsType<WelcomeMessage>(peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession)));
        DescriptorWatch watch = DescriptorWatch.Start();

        peer.Send(RawPeer.Encode(new StatusMessage()), [.. Enumerable.Repeat<SafeFd>(descriptor, count)]);

        Assert.Equal(ErrorCode.Protocol, peer.Receive<ErrorMessage>().Code);
        Assert.Null(peer.Receive());
        Assert.Equal([ProtocolErrorReason.BadDescriptorCount], host.Telemetry.Errors);
        watch.AssertUnchanged();
    }

    [Fact]
    public async Task Descriptor_that_is_no_userfaultfd_is_refused_and_the_connection_goes_on()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using SafeEventFd descriptor = EventFd.Create();
        using var peer = new RawPeer(host.SocketPath);

        ErrorMessage error = peer.Ask<ErrorMessage>(RawPeer.Hello(HelloFlags.HasUffd), descriptor);

        Assert.Equal((ErrorCode.Protocol, (int)Errno.EINVAL), (error.Code, error.Errno));
        Assert.Equal([ProtocolErrorReason.BadDescriptor], host.Telemetry.Errors);
        Assert.Equal("everybody", peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession)).Tenant);
    }

    [Fact]
    public async Task Unknown_type_is_answered_and_the_connection_goes_on()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var peer = new RawPeer(host.SocketPath);
        byte[] unknown = RawPeer.Encode(new ByeMessage(), requestId: 5);
        unknown[6] = 0x41;

        peer.Send(unknown);

        (MessageHeader header, Message message) = peer.Receive()!.Value;
        Assert.Equal((5u, ErrorCode.UnknownType), (header.RequestId, Assert.IsType<ErrorMessage>(message).Code));
        peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));
    }

    [Fact]
    public async Task Peer_that_says_nothing_is_closed()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync(Impatient);
        using var peer = new RawPeer(host.SocketPath);

        Assert.Null(peer.Receive());

        Assert.Equal([ProtocolErrorReason.FirstMessageTimeout], host.Telemetry.Errors);
    }

    [Fact]
    public async Task Peer_that_was_given_the_device_and_does_not_attach_is_closed()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync(Impatient);
        using var peer = new RawPeer(host.SocketPath);
        Assert.Equal(WelcomeFlags.Device, peer.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.WantDevice)).Flags);

        Assert.Null(peer.Receive());

        Assert.Equal([ProtocolErrorReason.FirstMessageTimeout], host.Telemetry.Errors);
    }

    [Fact]
    public async Task Peer_that_is_welcome_may_be_silent()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync(Impatient);
        using var silent = new RawPeer(host.SocketPath);
        silent.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));

        // Deadlines run in order: when this later one has passed, the silent peer's has too.
        using var late = new RawPeer(host.SocketPath);
        Assert.Null(late.Receive());

        silent.Ask<StatusReplyMessage>(new StatusMessage());
    }

    [Fact]
    public async Task Peer_that_never_reads_is_closed_and_others_are_served_meanwhile()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var deaf = new RawPeer(host.SocketPath);
        using var other = new RawPeer(host.SocketPath);
        deaf.Send(RawPeer.Encode(RawPeer.Hello(HelloFlags.NoSession)));
        other.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));

        byte[] status = RawPeer.Encode(new StatusMessage());
        int sent = 0;
        while (sent < 100_000 && deaf.TrySend(status) == Errno.OK)
        {
            if (++sent % 256 == 0)
                other.Ask<StatusReplyMessage>(new StatusMessage());
        }

        Assert.InRange(sent, 100, 99_999);
        Assert.Contains(ProtocolErrorReason.PeerNotReading, host.Telemetry.Errors);
        other.Ask<StatusReplyMessage>(new StatusMessage());
    }

    [Fact]
    public async Task Peers_that_close_in_the_middle_leave_nothing_behind()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using SafeEventFd descriptor = EventFd.Create();
        using (var first = new RawPeer(host.SocketPath))
            first.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.WantDevice));
        Eventually.True(() => host.Telemetry.Open == 0);
        DescriptorWatch watch = DescriptorWatch.Start();

        for (int i = 0; i < 50; i++)
        {
            using var peer = new RawPeer(host.SocketPath);
            if (i % 4 != 0)
                peer.Send(RawPeer.Encode(RawPeer.Hello(i % 4 == 1 ? HelloFlags.WantDevice : HelloFlags.NoSession)));
            if (i % 4 == 3)
                peer.Send(RawPeer.Encode(RawPeer.Hello(HelloFlags.HasUffd)), descriptor);
        }

        Eventually.True(() => host.Telemetry.Open == 0);
        watch.AssertUnchanged();
    }

    [Fact]
    public async Task Thousands_of_random_messages_do_not_disturb_a_peer_that_behaves()
    {
        await using FrontDoorHost host = await FrontDoorHost.StartAsync();
        using var good = new RawPeer(host.SocketPath);
        good.Ask<WelcomeMessage>(RawPeer.Hello(HelloFlags.NoSession));
        using SafeEventFd descriptor = EventFd.Create();
        var random = new Random(4711);
        for (int i = 0; i < 400; i++)
        {
            using var peer = new RawPeer(host.SocketPath);
            for (int j = 0; j < 5; j++)
            {
                byte[] packet = new byte[1 + random.Next(300)];
                random.NextBytes(packet);
                if (random.Next(3) != 0 && packet.Length >= ProtocolLimits.HeaderSize)
                {
                    new MessageHeader(1, (MessageType)random.Next(20), packet.Length - ProtocolLimits.HeaderSize, (uint)j, 0, HeaderFlags.None)
                        .Encode(packet);
                }

                SafeFd[] descriptors = [.. Enumerable.Repeat<SafeFd>(descriptor, random.Next(4) == 0 ? random.Next(12) : 0)];
                if (peer.TrySend(packet, descriptors) != Errno.OK)
                    break;
            }

            if (i % 20 == 0)
                good.Ask<StatusReplyMessage>(new StatusMessage());
        }

        good.Ask<StatusReplyMessage>(new StatusMessage());
        Eventually.True(() => host.Telemetry.Open == 1);
    }

    private static byte[] Break(string kind)
    {
        byte[] packet = RawPeer.Encode(RawPeer.Hello(HelloFlags.NoSession));
        switch (kind)
        {
            case "garbage":
                new Random(1).NextBytes(packet);
                return packet;
            case "one byte":
                return [0x55];
            case "version":
                packet[4] = 9;
                return packet;
            case "length":
                packet[8]++;
                return packet;
            case "huge length":
                packet.AsSpan(8, 4).Fill(0xff);
                return packet;
            case "header flags":
                packet[18] = 0x80;
                return packet;
            case "body cut":
                return Resized(packet, packet.Length - 1);
            case "bytes behind the body":
                return Resized(packet, packet.Length + 7);
            case "label too long":
                Array.Resize(ref packet, 400);
                BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(48), 300);
                return Resized(packet, 400);
            case "label not UTF-8":
                packet[50] = 0xff;
                return packet;
            case "unknown flag":
                packet[31] = 0x80;
                return packet;
            case "no request id":
                packet.AsSpan(12, 4).Clear();
                return packet;
            case "an answer":
                return RawPeer.Encode(new StatusMessage(), flags: HeaderFlags.Reply);
            case "a message of the manager":
                return RawPeer.Encode(new DoneMessage(0));
            case "announced descriptor missing":
                packet[16] = 1;
                return packet;
            case "65,537 bytes":
                return Resized(packet, ProtocolLimits.MaxMessage + 1);
            default:
                throw new ArgumentOutOfRangeException(nameof(kind), kind, null);
        }
    }

    private static byte[] Resized(byte[] packet, int length)
    {
        byte[] resized = packet;
        Array.Resize(ref resized, length);
        BinaryPrimitives.WriteInt32LittleEndian(resized.AsSpan(8), length - ProtocolLimits.HeaderSize);
        return resized;
    }
}
