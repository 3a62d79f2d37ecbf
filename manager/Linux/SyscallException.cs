namespace UffdManager.Linux;

/// <summary>A system call failed in a way that its caller has no use for. The message reads <c>call subject: ERRNO (text)</c>.</summary>
public sealed class SyscallException : Exception
{
    /// <summary>Describes the failure of <paramref name="call"/> on <paramref name="subject"/> (a path, a range; may be empty).</summary>
    public SyscallException(Errno errno, string call, string subject)
        : base(subject.Length == 0 ? $"{call}: {errno.Describe()}" : $"{call} {subject}: {errno.Describe()}")
    {
        Errno = errno;
        Call = call;
        Subject = subject;
    }

    /// <summary>Why the call failed.</summary>
    public Errno Errno { get; }

    /// <summary>Name of the system call or of the ioctl.</summary>
    public string Call { get; }

    /// <summary>What the call was about.</summary>
    public string Subject { get; }
}
