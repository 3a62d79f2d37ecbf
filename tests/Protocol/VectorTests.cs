using System.Globalization;
using Xunit;

namespace UffdManager.Protocol.Tests;

public sealed class VectorTests
{
    public static TheoryData<string> Sound => [.. Vector.Names(sound: true)];

    public static TheoryData<string> Broken => [.. Vector.Names(sound: false)];

    [Theory]
    [MemberData(nameof(Sound))]
    public void Sound_vector_decodes_to_its_fields_and_encodes_to_the_same_bytes(string name)
    {
        Vector vector = Vector.Read(name);
        Assert.Equal("ok", vector.Expect);

        DecodeError error = MessageCodec.Decode(vector.Bytes, vector.Descriptors, out MessageHeader header, out Message? message);

        Assert.Equal(DecodeError.None, error);
        Assert.NotNull(message);
        Assert.Equal((vector.Type, vector.RequestId, vector.Flags), ((ushort)header.Type, header.RequestId, (ushort)header.Flags));
        Assert.Equal(vector.Descriptors, message.Descriptors);
        foreach ((string field, string expected) in vector.Fields)
            Assert.Equal(expected, ReadField(message, field));

        byte[] again = new byte[vector.Bytes.Length];
        Assert.Equal(again.Length, MessageCodec.Encode(message, header.RequestId, header.Flags, again));
        Assert.Equal(vector.Bytes, again);
    }

    [Theory]
    [MemberData(nameof(Broken))]
    public void Broken_vector_is_refused_with_the_named_error(string name)
    {
        Vector vector = Vector.Read(name);

        DecodeError error = MessageCodec.Decode(vector.Bytes, vector.Descriptors, out _, out Message? message);

        Assert.Equal(vector.Expect, error.ToString());
        Assert.Null(message);
    }

    [Fact]
    public void Vectors_cover_every_type_and_every_error_that_a_packet_can_have()
    {
        IEnumerable<MessageType> types = Vector.Names(sound: true).Select(name => (MessageType)Vector.Read(name).Type).Distinct();
        Assert.Equal(Enum.GetValues<MessageType>().Except([MessageType.None]), types.Order());

        // TooLong needs more than 64 KiB; CodecTests has it.
        IEnumerable<string> errors = Vector.Names(sound: false).Select(name => Vector.Read(name).Expect).Distinct();
        Assert.Equal(
            Enum.GetNames<DecodeError>().Except(["None", "TooLong"]).Order(StringComparer.Ordinal),
            errors.Order(StringComparer.Ordinal));
    }

    private static string ReadField(Message message, string wireName)
    {
        string property = string.Concat(wireName.Split('_').Select(word => char.ToUpperInvariant(word[0]) + word[1..]));
        object? value = (message.GetType().GetProperty(property + "Value") ?? message.GetType().GetProperty(property))?.GetValue(message);
        return value switch
        {
            string text => text,
            Enum bits => bits.ToString("D"),
            bool flag => flag ? "1" : "0",
            IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
            _ => throw new MissingMemberException(message.GetType().Name, property),
        };
    }
}
