namespace UffdManager.Linux;

/// <summary>pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2): a process named without the races of its number.</summary>
public static unsafe class PidFd
{
    /// <summary>Opens <paramref name="pid"/> (a process, not a thread), close-on-exec; the caller owns it.</summary>
    /// <returns>Null with ESRCH (gone), EINVAL (a thread) or EMFILE.</returns>
    public static SafePidFd? TryOpen(int pid, out Errno errno)
    {
        nint fd = Libc.Syscall(SyscallNumber.PidfdOpen, pid, 0, 0, 0, 0, 0);
        errno = fd < 0 ? LastError.Get() : Errno.OK;
        return fd < 0 ? null : new SafePidFd((int)fd);
    }

    /// <summary>A duplicate of descriptor <paramref name="targetFd"/> of that process, close-on-exec; the caller owns it (5.6).</summary>
    /// <exception cref="SyscallException">EPERM without ptrace rights, EBADF, ESRCH.</exception>
    public static SafeFile GetFd(SafePidFd pidFd, int targetFd)
    {
        ArgumentNullException.ThrowIfNull(pidFd);
        using FdLease lease = pidFd.Lease();
        nint fd = Libc.Syscall(SyscallNumber.PidfdGetFd, lease.Fd, targetFd, 0, 0, 0, 0);
        return fd < 0 ? throw LastError.Exception("pidfd_getfd", $"fd {targetFd}") : new SafeFile((int)fd);
    }

    /// <summary>Sends <paramref name="signal"/>; 0 only asks whether it could be sent.</summary>
    /// <returns>ESRCH gone, EPERM not ours.</returns>
    public static Errno SendSignal(SafePidFd pidFd, int signal)
    {
        ArgumentNullException.ThrowIfNull(pidFd);
        using FdLease lease = pidFd.Lease();
        nint result = Libc.Syscall(SyscallNumber.PidfdSendSignal, lease.Fd, signal, 0, 0, 0, 0);
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>True once every thread of the process has exited, reaped or not. In epoll the pidfd is readable then.</summary>
    public static bool HasExited(SafePidFd pidFd) => WaitForExit(pidFd, TimeSpan.Zero);

    /// <summary>Waits up to <paramref name="timeout"/> for the exit.</summary>
    /// <returns>Whether the process has exited.</returns>
    public static bool WaitForExit(SafePidFd pidFd, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(pidFd);
        using FdLease lease = pidFd.Lease();
        return FdPoll.WaitReadable(lease, timeout);
    }

    /// <summary>The process's number in our pid namespace; null when it has been reaped or lies outside.</summary>
    public static int? ReadPid(SafePidFd pidFd)
    {
        ArgumentNullException.ThrowIfNull(pidFd);
        using FdLease lease = pidFd.Lease();
        foreach (string line in File.ReadLines($"/proc/self/fdinfo/{lease.Fd}"))
        {
            if (line.StartsWith("Pid:", StringComparison.Ordinal) && int.TryParse(line.AsSpan(4), out int pid))
                return pid > 0 ? pid : null;
        }

        return null;
    }
}
