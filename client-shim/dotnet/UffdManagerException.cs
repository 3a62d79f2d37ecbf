using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Client;

/// <summary>The manager refused a request, or cannot be reached.</summary>
public sealed class UffdManagerException : Exception
{
    /// <summary>A failure of the connection: <see cref="Code"/> is <see cref="ErrorCode.None"/>.</summary>
    /// <param name="errno">What a system call said; ECONNRESET where the manager closed the connection.</param>
    /// <param name="message">For people.</param>
    /// <param name="inner">What lies behind it.</param>
    public UffdManagerException(Errno errno, string message, Exception? inner = null)
        : base(message, inner) => Errno = errno;

    internal UffdManagerException(ErrorMessage error)
        : base($"{error.Code}: {error.Text}")
    {
        Code = error.Code;
        Errno = (Errno)error.Errno;
        if ((error.Flags & ErrorFlags.Holder) != ErrorFlags.None)
        {
            Holder = new RangeHolder(
                (long)error.HolderSession, error.HolderPid, error.HolderTenant, error.HolderStart, error.HolderLength);
        }
    }

    /// <summary>What kind of refusal it is; <see cref="ErrorCode.None"/> if the manager did not answer.</summary>
    public ErrorCode Code { get; }

    /// <summary>The errno that goes with it.</summary>
    public Errno Errno { get; }

    /// <summary>With <see cref="ErrorCode.Conflict"/> and EBUSY: who holds the range.</summary>
    public RangeHolder? Holder { get; }

    internal bool IsConnectionLost => Code == ErrorCode.None;
}
