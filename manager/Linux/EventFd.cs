using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>eventfd(2): a wake-up that survives until somebody takes it.</summary>
public static unsafe partial class EventFd
{
    /// <summary>A new eventfd, not blocking, close-on-exec, unset.</summary>
    /// <exception cref="SyscallException">EMFILE, ENOMEM.</exception>
    public static SafeEventFd Create()
    {
        int fd = Create(0, Libc.O_CLOEXEC | Libc.O_NONBLOCK);
        return fd < 0 ? throw LastError.Exception("eventfd", "") : new SafeEventFd(fd);
    }

    /// <summary>Makes it readable. Signals that meet before a <see cref="Drain"/> merge into one.</summary>
    public static void Signal(SafeEventFd eventFd)
    {
        ArgumentNullException.ThrowIfNull(eventFd);
        using FdLease lease = eventFd.Lease();
        Signal(lease);
    }

    /// <summary>Makes it readable; does not allocate.</summary>
    public static void Signal(FdLease eventFd)
    {
        ulong one = 1;
        nint result;
        do
            result = Libc.Write(eventFd.Fd, &one, sizeof(ulong));
        while (LastError.IsInterrupted(result));

        // EAGAIN: the counter is full, so the reader has a wake-up waiting already.
        if (result < 0 && LastError.Get() is var errno and not Errno.EAGAIN)
            throw new SyscallException(errno, "write", "eventfd");
    }

    /// <summary>Takes the wake-up, if there is one.</summary>
    public static void Drain(FdLease eventFd)
    {
        ulong count;
        nint result;
        do
            result = Libc.Read(eventFd.Fd, &count, sizeof(ulong));
        while (LastError.IsInterrupted(result));
        if (result < 0 && LastError.Get() is var errno and not Errno.EAGAIN)
            throw new SyscallException(errno, "read", "eventfd");
    }

    [LibraryImport(Libc.Name, EntryPoint = "eventfd", SetLastError = true)]
    private static partial int Create(uint initial, int flags);
}
