using System.Buffers.Binary;

namespace UffdManager.Protocol;

/// <summary>The 24 bytes that every message begins with.</summary>
/// <param name="Version">Version of the protocol.</param>
/// <param name="Type">Type of the message; may be a value that this version does not name.</param>
/// <param name="BodyLength">Bytes behind the header.</param>
/// <param name="RequestId">Id of the request, echoed in its answer; 0 = no answer wanted.</param>
/// <param name="DescriptorCount">Descriptors that travel with the message.</param>
/// <param name="Flags">See <see cref="HeaderFlags"/>.</param>
public readonly record struct MessageHeader(
    ushort Version, MessageType Type, int BodyLength, uint RequestId, int DescriptorCount, HeaderFlags Flags)
{
    /// <summary>"UFFM" in memory order.</summary>
    public const uint Magic = 0x4D464655;

    /// <summary>
    /// Reads the header of a received packet and checks the frame: everything that can be wrong before the body is looked at. After
    /// <see cref="DecodeError.BadMagic"/> and shorter packets <paramref name="header"/> is empty; else it holds what was read, so that an
    /// error can be answered under the right request id.
    /// </summary>
    /// <param name="packet">The whole packet as received.</param>
    /// <param name="descriptors">Descriptors received with it.</param>
    /// <param name="header">What was read.</param>
    /// <returns>The first violation found, or <see cref="DecodeError.None"/>.</returns>
    public static DecodeError TryDecode(ReadOnlySpan<byte> packet, int descriptors, out MessageHeader header)
    {
        header = default;
        if (packet.Length < ProtocolLimits.HeaderSize)
            return DecodeError.TooShort;
        if (BinaryPrimitives.ReadUInt32LittleEndian(packet) != Magic)
            return DecodeError.BadMagic;

        uint bodyLength = BinaryPrimitives.ReadUInt32LittleEndian(packet[8..]);
        header = new MessageHeader(
            BinaryPrimitives.ReadUInt16LittleEndian(packet[4..]),
            (MessageType)BinaryPrimitives.ReadUInt16LittleEndian(packet[6..]),
            (int)Math.Min(bodyLength, int.MaxValue),
            BinaryPrimitives.ReadUInt32LittleEndian(packet[12..]),
            BinaryPrimitives.ReadUInt16LittleEndian(packet[16..]),
            (HeaderFlags)BinaryPrimitives.ReadUInt16LittleEndian(packet[18..]));

        if (header.Version != ProtocolLimits.Version)
            return DecodeError.UnsupportedVersion;
        if (packet.Length > ProtocolLimits.MaxMessage)
            return DecodeError.TooLong;
        if (bodyLength != (uint)(packet.Length - ProtocolLimits.HeaderSize))
            return DecodeError.LengthMismatch;
        if ((header.Flags & ~HeaderFlags.Reply) != HeaderFlags.None)
            return DecodeError.UnknownHeaderFlags;
        if (BinaryPrimitives.ReadUInt32LittleEndian(packet[20..]) != 0)
            return DecodeError.ReservedNotZero;
        if (header.DescriptorCount > ProtocolLimits.MaxDescriptors || descriptors > ProtocolLimits.MaxDescriptors)
            return DecodeError.TooManyDescriptors;
        return header.DescriptorCount == descriptors ? DecodeError.None : DecodeError.DescriptorMismatch;
    }

    /// <summary>Writes the header into the first 24 bytes of <paramref name="destination"/>.</summary>
    /// <exception cref="ArgumentException">The destination is shorter.</exception>
    public void Encode(Span<byte> destination)
    {
        if (destination.Length < ProtocolLimits.HeaderSize)
            throw new ArgumentException("A header takes 24 bytes.", nameof(destination));
        BinaryPrimitives.WriteUInt32LittleEndian(destination, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[4..], Version);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[6..], (ushort)Type);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[8..], (uint)BodyLength);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[12..], RequestId);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[16..], (ushort)DescriptorCount);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[18..], (ushort)Flags);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[20..], 0);
    }
}
