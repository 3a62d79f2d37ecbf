namespace UffdManager.Protocol;

/// <summary>
/// Why bytes are not a message. All but <see cref="UnknownType"/> mean that the sender cannot write its own protocol, and that the
/// connection is to be closed.
/// </summary>
public enum DecodeError
{
    /// <summary>The message is sound.</summary>
    None = 0,

    /// <summary>Fewer bytes than a header.</summary>
    TooShort,

    /// <summary>More bytes than <see cref="ProtocolLimits.MaxMessage"/>.</summary>
    TooLong,

    /// <summary>The first four bytes are not the magic number.</summary>
    BadMagic,

    /// <summary>A version that this codec does not speak.</summary>
    UnsupportedVersion,

    /// <summary>Header and body are not exactly the packet.</summary>
    LengthMismatch,

    /// <summary>A flag of the header without a meaning.</summary>
    UnknownHeaderFlags,

    /// <summary>A reserved field of the header or of the body is not 0.</summary>
    ReservedNotZero,

    /// <summary>More descriptors than <see cref="ProtocolLimits.MaxDescriptors"/>.</summary>
    TooManyDescriptors,

    /// <summary>The descriptors that came are not those that the header announces or that the message is to carry.</summary>
    DescriptorMismatch,

    /// <summary>A well-formed frame of a type that this version does not know. Answered, not fatal.</summary>
    UnknownType,

    /// <summary>The body ends before its last field.</summary>
    BodyTooShort,

    /// <summary>Bytes are left behind the last field of the body.</summary>
    TrailingBytes,

    /// <summary>A string is longer than its limit.</summary>
    StringTooLong,

    /// <summary>A string is not UTF-8 or contains NUL.</summary>
    StringMalformed,

    /// <summary>A flag or mode bit without a meaning.</summary>
    UnknownFlags,

    /// <summary>A field has a value outside its range.</summary>
    ValueOutOfRange,
}
