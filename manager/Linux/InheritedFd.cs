namespace UffdManager.Linux;

/// <summary>Descriptors that this process was started with, known by their numbers alone.</summary>
public static class InheritedFd
{
    [CName("F_SETFD")] private const int SetFlags = 2;
    [CName("FD_CLOEXEC")] private const int CloseOnExec = 1;

    /// <summary>
    /// Takes ownership of an open descriptor and marks it close-on-exec, so that no program started from here keeps it open. To be called once for each
    /// number, for numbers that nobody else in this process can own.
    /// </summary>
    /// <returns>The descriptor, owned by the caller; null when no such descriptor is open.</returns>
    public static SafeFile? TryAdopt(int fd) =>
        fd < 0 || Libc.Fcntl(fd, SetFlags, CloseOnExec) < 0 ? null : new SafeFile(fd);
}
