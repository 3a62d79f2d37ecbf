namespace UffdManager.Linux;

/// <summary>Any other open file, directory or device.</summary>
public sealed class SafeFile : SafeFd, IAdoptsFd<SafeFile>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeFile(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeFile Adopt(int fd) => new(fd);
}
