using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>What became of the attempt to fill a page: everything downstream switches on this, not on errno.</summary>
internal enum InstallOutcome
{
    /// <summary>Installed, waiters woken by the kernel.</summary>
    Installed,

    /// <summary>EEXIST: it was there. The kernel wakes nobody then, so the loop has done it.</summary>
    AlreadyPresent,

    /// <summary>EAGAIN without progress: an event is unread, or its thread has not run yet.</summary>
    Changing,

    /// <summary>ENOENT for a single page: no longer registered or mapped.</summary>
    Stale,

    /// <summary>ESRCH: the address space is gone.</summary>
    ClientGone,

    /// <summary>ENOMEM, ENOSPC: no memory in the client's cgroup or on the machine.</summary>
    NoMemory,

    /// <summary>EEXIST again and again on a huge page that nobody installed: the pool is empty.</summary>
    HugePoolEmpty,

    /// <summary>EFAULT: our own buffer could not be read, or the page cache has a hole.</summary>
    SourceFault,

    /// <summary>Anything else: the kernel will not do it at all.</summary>
    Refused,
}

/// <summary>What the kernel says of an installation, in our words.</summary>
internal static class InstallOutcomes
{
    /// <summary>The one place where an errno of UFFDIO_COPY, ZEROPAGE, CONTINUE or POISON of a single page becomes an outcome.</summary>
    public static InstallOutcome From(Errno errno) => errno switch
    {
        Errno.OK => InstallOutcome.Installed,
        Errno.EEXIST => InstallOutcome.AlreadyPresent,
        Errno.EAGAIN => InstallOutcome.Changing,
        Errno.ENOENT => InstallOutcome.Stale,
        // ENOSPC for a gone process: kernels 4.11 to 4.13 only, below what we support.
        Errno.ESRCH => InstallOutcome.ClientGone,
        Errno.ENOMEM or Errno.ENOSPC => InstallOutcome.NoMemory,
        Errno.EFAULT => InstallOutcome.SourceFault,
        _ => InstallOutcome.Refused,
    };
}
