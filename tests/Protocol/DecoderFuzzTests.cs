using System.Buffers.Binary;
using Xunit;

namespace UffdManager.Protocol.Tests;

/// <summary>
/// Hostile bytes against the decoder. Seeded, so that a failure can be repeated; the amounts bound the time to about a second each.
/// </summary>
public sealed class DecoderFuzzTests
{
    private const int Seed = 20240917;

    // Lengths that some type has when all of its strings are empty.
    private static readonly int[] s_emptyStringBodies = [0, 8, 10, 16, 24, 28, 30, 44, 60, 126];

    [Fact]
    public void Random_bytes_behind_a_valid_header_never_throw_and_never_decode_to_something_else()
    {
        var random = new Random(Seed);
        byte[] again = new byte[ProtocolLimits.MaxMessage];
        int decoded = 0;
        for (int round = 0; round < 200_000; round++)
        {
            int body = random.Next(2) == 0 ? random.Next(160) : s_emptyStringBodies[random.Next(s_emptyStringBodies.Length)];
            byte[] packet = new byte[ProtocolLimits.HeaderSize + body];
            random.NextBytes(packet.AsSpan(ProtocolLimits.HeaderSize));
            // Mostly zero bodies get past flags and lengths and reach the last fields.
            if (random.Next(2) == 0)
                packet.AsSpan(ProtocolLimits.HeaderSize + random.Next(packet.Length - ProtocolLimits.HeaderSize + 1)).Clear();
            int descriptors = random.Next(3) == 0 ? 1 : 0;
            var type = (MessageType)random.Next(20);
            new MessageHeader(1, type, packet.Length - ProtocolLimits.HeaderSize, (uint)round, descriptors, HeaderFlags.None).Encode(packet);

            if (MessageCodec.Decode(packet, descriptors, out MessageHeader header, out Message? message) != DecodeError.None)
                continue;
            decoded++;
            int length = MessageCodec.Encode(message!, header.RequestId, header.Flags, again);
            Assert.Equal(packet, again.AsSpan(0, length).ToArray());
        }

        Assert.True(decoded > 1000, $"Only {decoded} packets decoded: the fuzzer no longer reaches the bodies.");
    }

    [Fact]
    public void Wholly_random_bytes_are_refused()
    {
        var random = new Random(Seed);
        byte[] packet = new byte[512];
        for (int round = 0; round < 100_000; round++)
        {
            random.NextBytes(packet);
            Assert.NotEqual(DecodeError.None, MessageCodec.Decode(packet.AsSpan(0, random.Next(packet.Length)), 0, out _, out Message? message));
            Assert.Null(message);
        }
    }

    [Fact]
    public void Message_cut_at_any_byte_is_refused_even_if_the_header_is_made_to_fit()
    {
        var random = new Random(Seed);
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        for (int round = 0; round < 200; round++)
        {
            Message message = RandomMessage.Create(random);
            int length = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);
            for (int cut = 0; cut < length; cut++)
            {
                byte[] packet = buffer.AsSpan(0, cut).ToArray();
                Assert.NotEqual(DecodeError.None, MessageCodec.Decode(packet, message.Descriptors, out _, out _));
                if (cut < ProtocolLimits.HeaderSize)
                    continue;
                BinaryPrimitives.WriteInt32LittleEndian(packet.AsSpan(8), cut - ProtocolLimits.HeaderSize);
                Assert.NotEqual(DecodeError.None, MessageCodec.Decode(packet, message.Descriptors, out _, out _));
            }
        }
    }

    [Fact]
    public void Both_halves_of_a_split_message_are_refused()
    {
        var random = new Random(Seed + 1);
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        for (int round = 0; round < 200; round++)
        {
            Message message = RandomMessage.Create(random);
            int length = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);
            for (int split = 1; split < length; split++)
            {
                Assert.NotEqual(DecodeError.None, MessageCodec.Decode(buffer.AsSpan(0, split), message.Descriptors, out _, out _));
                Assert.NotEqual(DecodeError.None, MessageCodec.Decode(buffer.AsSpan(split, length - split), message.Descriptors, out _, out _));
            }
        }
    }

    [Fact]
    public void Message_with_bytes_behind_it_is_refused()
    {
        var random = new Random(Seed + 2);
        byte[] buffer = new byte[ProtocolLimits.MaxMessage * 2];
        for (int round = 0; round < 2000; round++)
        {
            Message message = RandomMessage.Create(random);
            int length = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);
            int more = random.Next(3) == 0 ? ProtocolLimits.MaxMessage : 1 + random.Next(64);
            Span<byte> packet = buffer.AsSpan(0, length + more);
            packet[length..].Clear();
            Assert.NotEqual(DecodeError.None, MessageCodec.Decode(packet, message.Descriptors, out _, out _));
            BinaryPrimitives.WriteInt32LittleEndian(packet[8..], packet.Length - ProtocolLimits.HeaderSize);
            Assert.NotEqual(DecodeError.None, MessageCodec.Decode(packet, message.Descriptors, out _, out _));
        }
    }

    [Fact]
    public void Length_field_that_lies_is_refused_whatever_it_says()
    {
        var random = new Random(Seed + 3);
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        for (int round = 0; round < 20_000; round++)
        {
            Message message = RandomMessage.Create(random);
            int length = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);
            uint lie = (uint)random.NextInt64();
            if (lie == length - ProtocolLimits.HeaderSize)
                continue;
            BinaryPrimitives.WriteUInt32LittleEndian(buffer.AsSpan(8), lie);
            Assert.Equal(DecodeError.LengthMismatch, MessageCodec.Decode(buffer.AsSpan(0, length), message.Descriptors, out _, out _));
        }
    }

    [Fact]
    public void Message_with_any_other_number_of_descriptors_is_refused()
    {
        var random = new Random(Seed + 4);
        byte[] buffer = new byte[ProtocolLimits.MaxMessage];
        for (int round = 0; round < 2000; round++)
        {
            Message message = RandomMessage.Create(random);
            int length = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);
            for (int received = 0; received <= 253; received++)
            {
                if (received == message.Descriptors)
                    continue;
                DecodeError unannounced = MessageCodec.Decode(buffer.AsSpan(0, length), received, out _, out _);
                Assert.True(unannounced is DecodeError.DescriptorMismatch or DecodeError.TooManyDescriptors, unannounced.ToString());
            }

            int announced = message.Descriptors + 1 + random.Next(300);
            BinaryPrimitives.WriteUInt16LittleEndian(buffer.AsSpan(16), (ushort)announced);
            Assert.NotEqual(DecodeError.None, MessageCodec.Decode(buffer.AsSpan(0, length), announced, out _, out _));
        }
    }

    [Fact]
    public void Message_with_one_changed_bit_decodes_to_those_bytes_or_is_refused()
    {
        var random = new Random(Seed + 5);
        byte[] buffer = new byte[ProtocolLimits.MaxMessage], again = new byte[ProtocolLimits.MaxMessage];
        for (int round = 0; round < 100_000; round++)
        {
            Message message = RandomMessage.Create(random);
            int length = MessageCodec.Encode(message, 1, HeaderFlags.None, buffer);
            int bit = random.Next(length * 8);
            buffer[bit / 8] ^= (byte)(1 << (bit % 8));
            if (MessageCodec.Decode(buffer.AsSpan(0, length), message.Descriptors, out MessageHeader header, out Message? changed) != DecodeError.None)
                continue;
            int encoded = MessageCodec.Encode(changed!, header.RequestId, header.Flags, again);
            Assert.True(buffer.AsSpan(0, length).SequenceEqual(again.AsSpan(0, encoded)));
        }
    }

    [Fact]
    public void Decoder_allocates_no_more_than_the_packet_is_long_for_refused_bytes()
    {
        byte[] packet = new byte[ProtocolLimits.HeaderSize + 24 + 2];
        new MessageHeader(1, MessageType.Hello, packet.Length - ProtocolLimits.HeaderSize, 1, 0, HeaderFlags.None).Encode(packet);
        // A label of 65,535 bytes is announced, none comes.
        packet.AsSpan(^2).Fill(0xff);
        MessageCodec.Decode(packet, 0, out _, out _);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int round = 0; round < 1000; round++)
            MessageCodec.Decode(packet, 0, out _, out _);
        long each = (GC.GetAllocatedBytesForCurrentThread() - before) / 1000;

        Assert.True(each < 512, $"{each} bytes for each refused packet");
    }
}
