namespace UffdManager.Linux;

/// <summary>A memfd, opened for reading and writing.</summary>
public sealed class SafeMemfd : SafeFd, IAdoptsFd<SafeMemfd>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeMemfd(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeMemfd Adopt(int fd) => new(fd);
}
