namespace UffdManager.Protocol;

/// <summary>What a client wants and brings; see PROTOCOL.md for the combinations that make sense.</summary>
[Flags]
public enum HelloFlags : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Answer with an open /dev/userfaultfd, an ATTACH will follow.</summary>
    WantDevice = 0x001,

    /// <summary>Descriptor 0 is a userfaultfd.</summary>
    HasUffd = 0x002,

    /// <summary>UFFDIO_API has been called on it.</summary>
    ApiDone = 0x004,

    /// <summary>The client side keeps a duplicate of the userfaultfd for as long as the process lives.</summary>
    KeepsDescriptor = 0x008,

    /// <summary>The userfaultfd carries registrations made under an earlier manager.</summary>
    Adopt = 0x010,

    /// <summary>The sender is a forked child and brings the word that it read from its mailbox page.</summary>
    ForkChild = 0x020,

    /// <summary>Only STATUS is wanted.</summary>
    NoSession = 0x040,

    /// <summary>The session's process is the parent of the peer.</summary>
    SubjectIsParent = 0x080,

    /// <summary>The sender brings the resume token of a session whose connection was lost.</summary>
    Resume = 0x100,

    /// <summary>The userfaultfd was made with UFFD_USER_MODE_ONLY, which nobody else can see.</summary>
    UserModeOnly = 0x200,

    /// <summary>The bits that ATTACH may carry.</summary>
    Attach = HasUffd | ApiDone | KeepsDescriptor | Adopt | UserModeOnly,

    /// <summary>All bits with a meaning.</summary>
    All = 0x3ff,
}
