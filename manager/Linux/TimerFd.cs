using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>timerfd_create(2) on CLOCK_MONOTONIC, one shot.</summary>
public static unsafe partial class TimerFd
{
    [CName("CLOCK_MONOTONIC")] private const int Monotonic = 1;

    /// <summary>A new timer, not blocking, close-on-exec, disarmed.</summary>
    /// <exception cref="SyscallException">EMFILE, ENOMEM.</exception>
    public static SafeTimerFd Create()
    {
        int fd = TimerFdCreate(Monotonic, Libc.O_CLOEXEC | Libc.O_NONBLOCK);
        return fd < 0 ? throw LastError.Exception("timerfd_create", "") : new SafeTimerFd(fd);
    }

    /// <summary>Becomes readable after <paramref name="nanoseconds"/> from now, replacing what was armed; 0 disarms.</summary>
    public static void Arm(SafeTimerFd timer, long nanoseconds)
    {
        ArgumentNullException.ThrowIfNull(timer);
        using FdLease lease = timer.Lease();
        Arm(lease, nanoseconds);
    }

    /// <summary>As the other overload; does not allocate.</summary>
    public static void Arm(FdLease timer, long nanoseconds)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(nanoseconds);
        TimerSpecification specification = new() { Value = TimeSpec.FromNanoseconds(nanoseconds) };
        if (TimerFdSetTime(timer.Fd, 0, &specification, null) < 0)
            throw LastError.Exception("timerfd_settime", $"{nanoseconds} ns");
    }

    /// <summary>Takes the expiry, if there is one.</summary>
    public static void Drain(FdLease timer)
    {
        ulong expirations;
        nint result;
        do
            result = Libc.Read(timer.Fd, &expirations, sizeof(ulong));
        while (LastError.IsInterrupted(result));
        if (result < 0 && LastError.Get() is var errno and not Errno.EAGAIN)
            throw new SyscallException(errno, "read", "timerfd");
    }

    [LibraryImport(Libc.Name, EntryPoint = "timerfd_create", SetLastError = true)]
    private static partial int TimerFdCreate(int clock, int flags);

    [LibraryImport(Libc.Name, EntryPoint = "timerfd_settime", SetLastError = true)]
    private static partial int TimerFdSetTime(int fd, int flags, TimerSpecification* value, TimerSpecification* old);
}

/// <summary>struct itimerspec.</summary>
[CName("struct itimerspec")]
internal struct TimerSpecification
{
    [CName("it_interval")] public TimeSpec Interval;
    [CName("it_value")] public TimeSpec Value;
}
