using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace UffdManager.Protocol.Tests;

public sealed class CodecTests
{
    [Fact]
    public void Any_message_comes_back_as_it_was_sent() =>
        Prop.ForAll(ArbMap.Default.ArbFor<int>(), ArbMap.Default.ArbFor<uint>(), (seed, requestId) =>
        {
            Message sent = RandomMessage.Create(new Random(seed));
            byte[] buffer = new byte[ProtocolLimits.MaxMessage];
            int length = MessageCodec.Encode(sent, requestId, HeaderFlags.Reply, buffer);

            DecodeError error = MessageCodec.Decode(buffer.AsSpan(0, length), sent.Descriptors, out MessageHeader header, out Message? received);

            return error == DecodeError.None && sent.Equals(received) && header.RequestId == requestId
                && header.Flags == HeaderFlags.Reply && header.BodyLength == length - ProtocolLimits.HeaderSize;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(2000));

    [Fact]
    public void Any_bytes_are_either_a_message_that_encodes_to_them_or_an_error() =>
        Prop.ForAll(ArbMap.Default.ArbFor<byte[]>(), ArbMap.Default.ArbFor<byte>(), (bytes, descriptors) =>
        {
            DecodeError error = MessageCodec.Decode(bytes, descriptors, out _, out Message? message);
            return (error == DecodeError.None) == (message is not null);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(2000));

    [Fact]
    public void Packet_longer_than_the_limit_is_too_long()
    {
        byte[] packet = new byte[ProtocolLimits.MaxMessage + 1];
        new MessageHeader(1, MessageType.Bye, packet.Length - ProtocolLimits.HeaderSize, 1, 0, HeaderFlags.None).Encode(packet);

        Assert.Equal(DecodeError.TooLong, MessageCodec.Decode(packet, 0, out _, out _));
    }

    [Fact]
    public void Header_is_given_with_an_error_when_the_request_can_be_answered()
    {
        byte[] packet = new byte[64];
        int length = MessageCodec.Encode(new WakeMessage(0x1000, 0x1000), 77, HeaderFlags.None, packet);

        DecodeError error = MessageCodec.Decode(packet.AsSpan(0, length - 1), 0, out MessageHeader header, out _);

        Assert.Equal(DecodeError.LengthMismatch, error);
        Assert.Equal(77u, header.RequestId);
    }

    [Theory]
    [InlineData(65, 'a')]
    [InlineData(33, 'ä')]
    public void Encoder_refuses_a_string_over_its_limit_in_bytes(int count, char character)
    {
        var hello = new HelloMessage(1, 1, HelloFlags.NoSession, 0, 0, new string(character, count), "");
        Assert.Throws<ArgumentException>(() => MessageCodec.Encode(hello, 1, HeaderFlags.None, new byte[ProtocolLimits.MaxMessage]));
    }

    [Fact]
    public void Encoder_refuses_a_string_with_nul()
    {
        var hello = new HelloMessage(1, 1, HelloFlags.NoSession, 0, 0, "a\0b", "");
        Assert.Throws<ArgumentException>(() => MessageCodec.Encode(hello, 1, HeaderFlags.None, new byte[ProtocolLimits.MaxMessage]));
    }

    [Fact]
    public void Encoder_refuses_a_buffer_that_is_too_small_at_every_length()
    {
        var message = new RegisterMessage(1, 2, RegisterModes.Missing, RegisterFlags.None, 3, 4, "policy", "source");
        byte[] buffer = new byte[256];
        int needed = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);

        for (int room = 0; room < needed; room++)
            Assert.ThrowsAny<ArgumentException>(() => MessageCodec.Encode(message, 1, HeaderFlags.None, buffer.AsSpan(0, room)));
    }

    [Theory]
    [InlineData("short", 64, "short")]
    [InlineData("äöü", 5, "äö")]
    [InlineData("a😀b", 4, "a")]
    [InlineData("a😀b", 5, "a😀")]
    [InlineData("a\0b", 64, "a?b")]
    [InlineData("x", 0, "")]
    public void Clip_cuts_between_characters(string text, int limit, string expected) =>
        Assert.Equal(expected, ProtocolLimits.Clip(text, limit));
}
