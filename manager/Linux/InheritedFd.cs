namespace UffdManager.Linux;

/// <summary>Descriptors that this process was started with, known by their numbers alone.</summary>
public static class InheritedFd
{
    [CName("F_GETFD")] private const int GetFlags = 1;
    [CName("F_SETFD")] private const int SetFlags = 2;
    [CName("FD_CLOEXEC")] private const int CloseOnExec = 1;

    /// <summary>
    /// Takes ownership of an open descriptor and marks it close-on-exec, so that no program started from here keeps it open. To be called once for each
    /// number, early.
    /// </summary>
    /// <returns>
    /// The descriptor, owned by the caller; null when no such descriptor is open, or when it cannot have come in: what is close-on-exec already was
    /// opened by this process, the runtime for one.
    /// </returns>
    public static SafeFile? TryAdopt(int fd)
    {
        int flags = fd < 0 ? -1 : Libc.Fcntl(fd, GetFlags, 0);
        return flags < 0 || (flags & CloseOnExec) != 0 || Libc.Fcntl(fd, SetFlags, CloseOnExec) < 0 ? null : new SafeFile(fd);
    }
}
