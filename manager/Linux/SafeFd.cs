using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>
/// An open file descriptor with exactly one owner. <c>close(2)</c> is called once, when the handle is disposed and every lease is back.
/// </summary>
public abstract class SafeFd : SafeHandle
{
    /// <summary>Adopts <paramref name="fd"/>; with <paramref name="owns"/> false the number is only borrowed and never closed.</summary>
    protected SafeFd(int fd, bool owns)
        : base(-1, owns) => SetHandle(fd);

    /// <inheritdoc/>
    public override bool IsInvalid => handle < 0;

    /// <summary>Takes a lease: the descriptor stays open until it is disposed.</summary>
    /// <exception cref="ObjectDisposedException">The handle is closed already.</exception>
    public FdLease Lease()
    {
        bool taken = false;
        DangerousAddRef(ref taken);
        return new FdLease(this, (int)handle);
    }

    /// <summary>A second descriptor of the same open file (F_DUPFD_CLOEXEC, number 3 or above); the caller owns it.</summary>
    /// <exception cref="SyscallException">EMFILE.</exception>
    public T Duplicate<T>()
        where T : SafeFd, IAdoptsFd<T>
    {
        using FdLease lease = Lease();
        int fd = Libc.Fcntl(lease.Fd, Libc.F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? throw LastError.Exception("fcntl(F_DUPFD_CLOEXEC)", $"fd {lease.Fd}") : T.Adopt(fd);
    }

    /// <summary>Releases ownership without closing and returns the number; the handle is closed afterwards.</summary>
    public int Disown()
    {
        int fd = (int)handle;
        ObjectDisposedException.ThrowIf(IsClosed, this);
        SetHandleAsInvalid();
        return fd;
    }

    /// <inheritdoc/>
    // close(2) frees the number even when it reports EINTR or EIO; repeating it would close somebody else's file.
    protected override bool ReleaseHandle() => Libc.Close((int)handle) == 0 || LastError.Get() != Errno.EBADF;
}
