using System.Buffers.Binary;
using System.Text;

namespace UffdManager.Protocol;

/// <summary>Puts the fields of a body one behind the other. Its errors are the caller's: they are exceptions.</summary>
internal ref struct BodyWriter(Span<byte> destination)
{
    private readonly Span<byte> _all = destination;

    public int Written { get; private set; }

    public void U16(ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Next(sizeof(ushort)), value);

    public void U32(uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Next(sizeof(uint)), value);

    public void I32(int value) => BinaryPrimitives.WriteInt32LittleEndian(Next(sizeof(int)), value);

    public void U64(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Next(sizeof(ulong)), value);

    public void Reserved32() => U32(0);

    public void String(string value, int limit)
    {
        int length = Encoding.UTF8.GetByteCount(value);
        if (length > limit)
            throw new ArgumentException($"A string of {length} bytes; its limit is {limit}.", nameof(value));
        if (value.Contains('\0', StringComparison.Ordinal))
            throw new ArgumentException("A string on the wire contains no NUL.", nameof(value));
        U16((ushort)length);
        Encoding.UTF8.GetBytes(value, Next(length));
    }

    private Span<byte> Next(int count)
    {
        if (_all.Length - Written < count)
            throw new ArgumentException("The buffer is too small for the message.", nameof(count));
        Span<byte> next = _all.Slice(Written, count);
        Written += count;
        return next;
    }
}
