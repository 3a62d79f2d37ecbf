namespace UffdManager.Protocol;

/// <summary>Bytes to messages and back. Pure: no I/O, no state, any thread.</summary>
public static class MessageCodec
{
    /// <summary>
    /// Writes header and body of a message.
    /// </summary>
    /// <param name="message">What to write.</param>
    /// <param name="requestId">Id of the request that it is, or that it answers; 0 = unsolicited, or no answer wanted.</param>
    /// <param name="flags">See <see cref="HeaderFlags"/>.</param>
    /// <param name="destination">Room for the message; <see cref="ProtocolLimits.MaxMessage"/> bytes are always enough.</param>
    /// <returns>Bytes written. <see cref="Message.Descriptors"/> descriptors are to be sent with them.</returns>
    /// <exception cref="ArgumentException">A string is over its limit or contains NUL, or the destination is too small.</exception>
    public static int Encode(Message message, uint requestId, HeaderFlags flags, Span<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(message);
        if (destination.Length < ProtocolLimits.HeaderSize)
            throw new ArgumentException("The buffer is too small for the message.", nameof(destination));
        var writer = new BodyWriter(destination[ProtocolLimits.HeaderSize..]);
        message.Write(ref writer);
        new MessageHeader(ProtocolLimits.Version, message.Type, writer.Written, requestId, message.Descriptors, flags).Encode(destination);
        return ProtocolLimits.HeaderSize + writer.Written;
    }

    /// <summary>
    /// Reads one received packet. Whatever the bytes are, this returns; it never throws and allocates no more than the packet is long.
    /// </summary>
    /// <param name="packet">The whole packet.</param>
    /// <param name="descriptors">Descriptors received with it.</param>
    /// <param name="header">The header as far as it could be read.</param>
    /// <param name="message">The message, or null if there is an error.</param>
    /// <returns>The first violation found, or <see cref="DecodeError.None"/>.</returns>
    public static DecodeError Decode(ReadOnlySpan<byte> packet, int descriptors, out MessageHeader header, out Message? message)
    {
        message = null;
        DecodeError error = MessageHeader.TryDecode(packet, descriptors, out header);
        if (error != DecodeError.None)
            return error;

        var reader = new BodyReader(packet[ProtocolLimits.HeaderSize..]);
        Message? read = header.Type switch
        {
            MessageType.Hello => HelloMessage.Read(ref reader),
            MessageType.Welcome => WelcomeMessage.Read(ref reader),
            MessageType.Attach => AttachMessage.Read(ref reader),
            MessageType.Register => RegisterMessage.Read(ref reader),
            MessageType.Registered => RegisteredMessage.Read(ref reader),
            MessageType.Unregister => UnregisterMessage.Read(ref reader),
            MessageType.Map => MapMessage.Read(ref reader),
            MessageType.Mapped => MappedMessage.Read(ref reader),
            MessageType.Prefetch => PrefetchMessage.Read(ref reader),
            MessageType.Done => DoneMessage.Read(ref reader),
            MessageType.Wake => WakeMessage.Read(ref reader),
            MessageType.WriteProtect => WriteProtectMessage.Read(ref reader),
            MessageType.Status => new StatusMessage(),
            MessageType.StatusReply => StatusReplyMessage.Read(ref reader),
            MessageType.Bye => new ByeMessage(),
            MessageType.Error => ErrorMessage.Read(ref reader),
            MessageType.Goodbye => GoodbyeMessage.Read(ref reader),
            _ => null,
        };
        if (read is null)
            return DecodeError.UnknownType;
        error = reader.Finish();
        if (error != DecodeError.None)
            return error;
        if (read.Descriptors != header.DescriptorCount)
            return DecodeError.DescriptorMismatch;
        message = read;
        return DecodeError.None;
    }
}
