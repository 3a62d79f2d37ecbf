namespace UffdManager.Linux;

/// <summary>Modes of UFFDIO_MOVE (6.8).</summary>
[Flags]
public enum UffdMoveModes : ulong
{
    /// <summary>Every source page must exist; waiters are woken.</summary>
    None = 0,

    /// <summary>Leave the waiters asleep.</summary>
    [CName("UFFDIO_MOVE_MODE_DONTWAKE")] DontWake = 1,

    /// <summary>Skip source pages that do not exist.</summary>
    [CName("UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES")] AllowSourceHoles = 2,
}
