namespace UffdManager.Linux;

/// <summary>A socket.</summary>
public sealed class SafeSocketFd : SafeFd, IAdoptsFd<SafeSocketFd>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeSocketFd(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeSocketFd Adopt(int fd) => new(fd);
}
