using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>
/// epoll(7). A file stays in the set for as long as its description lives, and a client that shares the description keeps it alive:
/// <see cref="Remove"/> always comes before the descriptor is closed.
/// </summary>
public static unsafe partial class Epoll
{
    [CName("EPOLL_CTL_ADD")] private const int Adding = 1;
    [CName("EPOLL_CTL_DEL")] private const int Deleting = 2;
    [CName("EPOLL_CTL_MOD")] private const int Modifying = 3;

    private static readonly bool s_packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;

    // Learnt once: a kernel before 5.11 (ENOSYS), or a container's filter that does not know the call (ENOSYS, older ones EPERM).
    private static bool s_pwait2Missing;

    internal static bool IsPwait2Missing
    {
        get => s_pwait2Missing;
        set => s_pwait2Missing = value;
    }

    /// <summary>A new instance, close-on-exec.</summary>
    /// <exception cref="SyscallException">EMFILE, ENOMEM.</exception>
    public static SafeEpoll Create()
    {
        int fd = EpollCreate1(Libc.O_CLOEXEC);
        return fd < 0 ? throw LastError.Exception("epoll_create1", "") : new SafeEpoll(fd);
    }

    /// <summary>Watches <paramref name="fd"/>; reports carry <paramref name="key"/>.</summary>
    /// <exception cref="SyscallException">EEXIST watched already, EPERM cannot be polled, ENOSPC too many watches.</exception>
    public static void Add(SafeEpoll epoll, SafeFd fd, EpollEvents events, ulong key) => Control(epoll, Adding, fd, events, key);

    /// <summary>Changes what is watched.</summary>
    /// <exception cref="SyscallException">ENOENT not watched.</exception>
    public static void Modify(SafeEpoll epoll, SafeFd fd, EpollEvents events, ulong key) => Control(epoll, Modifying, fd, events, key);

    /// <summary>Stops watching; must precede the close of <paramref name="fd"/>.</summary>
    /// <exception cref="SyscallException">ENOENT not watched.</exception>
    public static void Remove(SafeEpoll epoll, SafeFd fd) => Control(epoll, Deleting, fd, EpollEvents.None, 0);

    /// <summary>
    /// Waits for reports. <paramref name="timeoutNanoseconds"/>: -1 waits for ever, 0 only looks. Before 5.11 the time is rounded up to
    /// milliseconds.
    /// </summary>
    /// <returns>The number of entries filled; 0 after the time or a signal.</returns>
    /// <exception cref="SyscallException">EBADF, EINVAL: a defect of the caller.</exception>
    public static int Wait(FdLease epoll, Span<EpollEvent> events, long timeoutNanoseconds)
    {
        int count;
        fixed (EpollEvent* packed = events)
            count = s_packed ? WaitRaw(epoll.Fd, packed, events.Length, timeoutNanoseconds) : WaitAligned(epoll.Fd, events, timeoutNanoseconds);
        if (count >= 0)
            return count;
        Errno errno = LastError.Get();
        return errno == Errno.EINTR ? 0 : throw new SyscallException(errno, "epoll_pwait2", $"fd {epoll.Fd}");
    }

    private static int WaitAligned(int epoll, Span<EpollEvent> events, long timeoutNanoseconds)
    {
        const int Batch = 64;
        AlignedEpollEvent* aligned = stackalloc AlignedEpollEvent[Batch];
        int count = WaitRaw(epoll, aligned, Math.Min(events.Length, Batch), timeoutNanoseconds);
        for (int i = 0; i < count; i++)
            events[i] = new EpollEvent { Events = aligned[i].Events, Key = aligned[i].Key };
        return count;
    }

    private static int WaitRaw(int epoll, void* events, int capacity, long timeoutNanoseconds)
    {
        if (!s_pwait2Missing)
        {
            TimeSpec timeout = TimeSpec.FromNanoseconds(timeoutNanoseconds);
            nint pointer = timeoutNanoseconds < 0 ? 0 : (nint)(&timeout);
            int count = (int)Libc.Syscall(SyscallNumber.EpollPwait2, epoll, (nint)events, capacity, pointer, 0, 0);
            if (count >= 0 || LastError.Get() is not (Errno.ENOSYS or Errno.EPERM))
                return count;
            s_pwait2Missing = true;
        }

        long milliseconds = timeoutNanoseconds < 0 ? -1 : Math.Min((timeoutNanoseconds + 999_999) / 1_000_000, int.MaxValue);
        return EpollWait(epoll, events, capacity, (int)milliseconds);
    }

    private static void Control(SafeEpoll epoll, int operation, SafeFd fd, EpollEvents events, ulong key)
    {
        ArgumentNullException.ThrowIfNull(epoll);
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease set = epoll.Lease();
        using FdLease target = fd.Lease();
        EpollEvent packed = new() { Events = events, Key = key };
        AlignedEpollEvent aligned = new() { Events = events, Key = key };
        void* argument = s_packed ? &packed : &aligned;
        if (EpollCtl(set.Fd, operation, target.Fd, argument) < 0)
            throw LastError.Exception("epoll_ctl", $"operation {operation} of fd {target.Fd}");
    }

    [LibraryImport(Libc.Name, EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate1(int flags);

    [LibraryImport(Libc.Name, EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollCtl(int epoll, int operation, int fd, void* @event);

    [LibraryImport(Libc.Name, EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(int epoll, void* events, int capacity, int timeoutMilliseconds);
}
