namespace UffdManager.Linux;

/// <summary>An eventfd.</summary>
public sealed class SafeEventFd : SafeFd, IAdoptsFd<SafeEventFd>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeEventFd(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeEventFd Adopt(int fd) => new(fd);
}
