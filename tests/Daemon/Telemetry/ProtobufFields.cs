using System.Buffers.Binary;
using System.Text;

namespace UffdManager.Daemon.Tests.Telemetry;

/// <summary>The fields of one protobuf message, as far as the tests need them: by number, without a schema.</summary>
internal sealed class ProtobufFields
{
    private readonly List<(int Number, byte[] Bytes)> _fields = [];

    public ProtobufFields(ReadOnlySpan<byte> message)
    {
        while (message.Length > 0)
        {
            ulong tag = Varint(ref message);
            int length = (tag & 7) switch
            {
                0 => VarintLength(message),
                1 => 8,
                2 => (int)Varint(ref message),
                5 => 4,
                _ => throw new InvalidDataException($"wire type {tag & 7}"),
            };
            _fields.Add(((int)(tag >> 3), message[..length].ToArray()));
            message = message[length..];
        }
    }

    public IEnumerable<ProtobufFields> Messages(int number) => _fields.Where(f => f.Number == number).Select(f => new ProtobufFields(f.Bytes));

    public string Text(int number) => Encoding.UTF8.GetString(_fields.Single(f => f.Number == number).Bytes);

    public ulong Fixed64(int number) => BinaryPrimitives.ReadUInt64LittleEndian(_fields.Single(f => f.Number == number).Bytes);

    /// <summary>OpenTelemetry attributes (KeyValue messages) with text or whole-number values.</summary>
    public Dictionary<string, string> Attributes(int number) => Messages(number).ToDictionary(
        a => a.Text(1),
        a => a.Messages(2).Single() is var value && value._fields[0] is (3, var bytes) ? Integer(bytes) : value.Text(1));

    private static string Integer(ReadOnlySpan<byte> bytes) => ((long)Varint(ref bytes)).ToString();

    private static int VarintLength(ReadOnlySpan<byte> message)
    {
        int length = 1;
        while ((message[length - 1] & 0x80) != 0)
        {
            length++;
        }

        return length;
    }

    private static ulong Varint(ref ReadOnlySpan<byte> message)
    {
        ulong value = 0;
        int length = VarintLength(message);
        for (int i = 0; i < length; i++)
        {
            value |= (ulong)(message[i] & 0x7f) << (7 * i);
        }

        message = message[length..];
        return value;
    }
}
