namespace UffdManager.Linux;

/// <summary>A timerfd.</summary>
public sealed class SafeTimerFd : SafeFd, IAdoptsFd<SafeTimerFd>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeTimerFd(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeTimerFd Adopt(int fd) => new(fd);
}
