namespace UffdManager.Linux;

/// <summary>Flags of userfaultfd(2). O_CLOEXEC and O_NONBLOCK are always set.</summary>
[Flags]
public enum UffdOpenFlags
{
    /// <summary>Faults of user mode and of the kernel are handled; needs privilege or access to /dev/userfaultfd.</summary>
    None = 0,

    /// <summary>Only user-mode faults (5.11); system calls into missing pages fail with EFAULT. Needs no privilege.</summary>
    [CName("UFFD_USER_MODE_ONLY")] UserModeOnly = 1,
}
