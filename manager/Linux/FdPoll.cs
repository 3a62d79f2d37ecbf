namespace UffdManager.Linux;

/// <summary>poll(2) of one descriptor, for callers that have no epoll instance.</summary>
public static unsafe class FdPoll
{
    /// <summary>Whether a write would not wait now, though it may fail.</summary>
    /// <exception cref="SyscallException">ENOMEM.</exception>
    public static bool IsWritable(FdLease fd)
    {
        PollEntry entry = new() { Fd = fd.Fd, Events = Libc.POLLOUT };
        int result;
        do
            result = Libc.Poll(&entry, 1, 0);
        while (LastError.IsInterrupted(result));
        return result < 0 ? throw LastError.Exception("poll", $"fd {fd.Fd}") : result > 0;
    }

    /// <summary>
    /// Waits until the descriptor is readable, has an error or is hung up. A negative <paramref name="timeout"/> waits for ever; others
    /// are rounded up to milliseconds.
    /// </summary>
    /// <returns>False when the time was over first.</returns>
    public static bool WaitReadable(FdLease fd, TimeSpan timeout)
    {
        long deadline = timeout < TimeSpan.Zero ? long.MaxValue : MonotonicClock.NowNanoseconds + (timeout.Ticks * 100);
        while (true)
        {
            long left = deadline == long.MaxValue ? -1 : Math.Max(0, deadline - MonotonicClock.NowNanoseconds);
            int milliseconds = left < 0 ? -1 : (int)Math.Min((left + 999_999) / 1_000_000, int.MaxValue);
            PollEntry entry = new() { Fd = fd.Fd, Events = Libc.POLLIN };
            int result = Libc.Poll(&entry, 1, milliseconds);
            if (result > 0)
                return true;
            if (result < 0 && LastError.Get() is var errno and not Errno.EINTR)
                throw new SyscallException(errno, "poll", $"fd {fd.Fd}");
            if (result == 0 && MonotonicClock.NowNanoseconds >= deadline)
                return false;
        }
    }
}
