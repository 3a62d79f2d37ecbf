namespace UffdManager.Linux;

/// <summary>An epoll instance.</summary>
public sealed class SafeEpoll : SafeFd, IAdoptsFd<SafeEpoll>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeEpoll(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeEpoll Adopt(int fd) => new(fd);
}
