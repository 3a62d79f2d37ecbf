namespace UffdManager.Linux;

/// <summary>Modes of UFFDIO_COPY and UFFDIO_CONTINUE.</summary>
[Flags]
public enum UffdCopyModes : ulong
{
    /// <summary>Install, writable as the mapping allows, and wake who waits for the range.</summary>
    None = 0,

    /// <summary>Leave the waiters asleep.</summary>
    [CName("UFFDIO_COPY_MODE_DONTWAKE")] DontWake = 1,

    /// <summary>Install write-protected; EINVAL unless the range is registered for write protection.</summary>
    [CName("UFFDIO_COPY_MODE_WP")] WriteProtect = 2,
}
