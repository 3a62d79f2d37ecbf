using UffdManager.Linux;

namespace UffdManager.Daemon.Images;

/// <summary>Something cannot be done with an image.</summary>
/// <param name="fault">Kind of reason.</param>
/// <param name="message">What is wrong.</param>
/// <param name="remedy">What can be done about it.</param>
/// <param name="errno">What a system call would say.</param>
internal sealed class ImageException(ImageFault fault, string message, string? remedy = null, Errno errno = Errno.EINVAL) : Exception(message)
{
    public ImageFault Fault { get; } = fault;

    public string? Remedy { get; } = remedy;

    public Errno Errno { get; } = errno;
}
