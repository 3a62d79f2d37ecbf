namespace UffdManager.Linux;

/// <summary>A userfaultfd. Closing the last descriptor of one lets every blocked thread read zeroes: fail closed before.</summary>
public sealed class SafeUffd : SafeFd, IAdoptsFd<SafeUffd>
{
    /// <summary>Adopts <paramref name="fd"/> unless <paramref name="owns"/> is false; -1 makes an invalid handle.</summary>
    public SafeUffd(int fd, bool owns = true)
        : base(fd, owns)
    {
    }

    /// <inheritdoc/>
    public static SafeUffd Adopt(int fd) => new(fd);
}
