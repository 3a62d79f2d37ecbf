using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;

namespace UffdManager.Protocol;

/// <summary>
/// Takes the fields of a body one after the other. The first violation sticks: later reads return zeros, so that a decoder reads
/// straight through and asks once, in <see cref="Finish"/>.
/// </summary>
internal ref struct BodyReader(ReadOnlySpan<byte> body)
{
    private ReadOnlySpan<byte> _rest = body;
    private DecodeError _error = DecodeError.None;

    public ushort U16()
    {
        ReadOnlySpan<byte> bytes = Take(sizeof(ushort));
        return bytes.IsEmpty ? (ushort)0 : BinaryPrimitives.ReadUInt16LittleEndian(bytes);
    }

    public uint U32()
    {
        ReadOnlySpan<byte> bytes = Take(sizeof(uint));
        return bytes.IsEmpty ? 0 : BinaryPrimitives.ReadUInt32LittleEndian(bytes);
    }

    public int I32() => (int)U32();

    public ulong U64()
    {
        ReadOnlySpan<byte> bytes = Take(sizeof(ulong));
        return bytes.IsEmpty ? 0 : BinaryPrimitives.ReadUInt64LittleEndian(bytes);
    }

    public ushort Flags16(ushort known)
    {
        ushort flags = U16();
        Check((flags & ~known) == 0, DecodeError.UnknownFlags);
        return flags;
    }

    public uint Flags32(uint known)
    {
        uint flags = U32();
        Check((flags & ~known) == 0, DecodeError.UnknownFlags);
        return flags;
    }

    /// <summary>A u32 from <paramref name="min"/> to <paramref name="max"/>, both included.</summary>
    public uint U32(uint min, uint max)
    {
        uint value = U32();
        Check(value >= min && value <= max, DecodeError.ValueOutOfRange);
        return value;
    }

    public void Reserved32() => Check(U32() == 0, DecodeError.ReservedNotZero);

    public string String(int limit)
    {
        int length = U16();
        Check(length <= limit, DecodeError.StringTooLong);
        ReadOnlySpan<byte> bytes = Take(length);
        if (bytes.IsEmpty)
            return string.Empty;
        if (!Utf8.IsValid(bytes) || bytes.Contains((byte)0))
        {
            Check(false, DecodeError.StringMalformed);
            return string.Empty;
        }

        return Encoding.UTF8.GetString(bytes);
    }

    public DecodeError Finish()
    {
        Check(_rest.IsEmpty, DecodeError.TrailingBytes);
        return _error;
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        Check(_rest.Length >= count, DecodeError.BodyTooShort);
        if (_error != DecodeError.None)
            return default;
        ReadOnlySpan<byte> taken = _rest[..count];
        _rest = _rest[count..];
        return taken;
    }

    private void Check(bool holds, DecodeError otherwise)
    {
        if (!holds && _error == DecodeError.None)
            _error = otherwise;
    }
}
