namespace UffdManager.Linux;

/// <summary>A pidfd: names one process for as long as it is held, whatever happens to the number.</summary>
public sealed class SafePidFd : SafeFd, IAdoptsFd<SafePidFd>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafePidFd(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafePidFd Adopt(int fd) => new(fd);
}
