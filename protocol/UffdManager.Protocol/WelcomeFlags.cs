namespace UffdManager.Protocol;

/// <summary>What came of a HELLO or ATTACH.</summary>
[Flags]
public enum WelcomeFlags : ushort
{
    /// <summary>A session was made of what the client brought.</summary>
    None = 0,

    /// <summary>Descriptor 0 is an open /dev/userfaultfd.</summary>
    Device = 1,

    /// <summary>Descriptor 0 is the forked child's userfaultfd.</summary>
    Uffd = 2,

    /// <summary>The session was alive, its regions are untouched.</summary>
    Resumed = 4,

    /// <summary>All bits with a meaning.</summary>
    All = 7,
}
