namespace UffdManager.Protocol;

/// <summary>
/// The type field of a header. Values from 0x40 to 0x5f belong to commands to an agent and are not defined in this version.
/// </summary>
public enum MessageType : ushort
{
    /// <summary>Not a type.</summary>
    None = 0,

    /// <summary>See <see cref="HelloMessage"/>.</summary>
    Hello = 1,

    /// <summary>See <see cref="WelcomeMessage"/>.</summary>
    Welcome = 2,

    /// <summary>See <see cref="AttachMessage"/>.</summary>
    Attach = 3,

    /// <summary>See <see cref="RegisterMessage"/>.</summary>
    Register = 4,

    /// <summary>See <see cref="RegisteredMessage"/>.</summary>
    Registered = 5,

    /// <summary>See <see cref="UnregisterMessage"/>.</summary>
    Unregister = 6,

    /// <summary>See <see cref="MapMessage"/>.</summary>
    Map = 7,

    /// <summary>See <see cref="MappedMessage"/>.</summary>
    Mapped = 8,

    /// <summary>See <see cref="PrefetchMessage"/>.</summary>
    Prefetch = 9,

    /// <summary>See <see cref="DoneMessage"/>.</summary>
    Done = 10,

    /// <summary>See <see cref="WakeMessage"/>.</summary>
    Wake = 11,

    /// <summary>See <see cref="WriteProtectMessage"/>.</summary>
    WriteProtect = 12,

    /// <summary>See <see cref="StatusMessage"/>.</summary>
    Status = 13,

    /// <summary>See <see cref="StatusReplyMessage"/>.</summary>
    StatusReply = 14,

    /// <summary>See <see cref="ByeMessage"/>.</summary>
    Bye = 15,

    /// <summary>See <see cref="ErrorMessage"/>.</summary>
    Error = 16,

    /// <summary>See <see cref="GoodbyeMessage"/>.</summary>
    Goodbye = 17,
}
