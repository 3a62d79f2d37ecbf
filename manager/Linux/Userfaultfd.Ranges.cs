namespace UffdManager.Linux;

/// <content>The handshake and the registration of ranges.</content>
public static unsafe partial class Userfaultfd
{
    /// <summary>
    /// UFFDIO_API, once in the life of a userfaultfd. A failed call leaves the descriptor as it was.
    /// </summary>
    /// <returns>EINVAL: an unknown feature, or the call was made before. EPERM: EventFork without CAP_SYS_PTRACE.</returns>
    public static Errno Api(SafeUffd uffd, UffdFeatures requested, out UffdFeatures available, out UffdIoctls ioctls)
    {
        ArgumentNullException.ThrowIfNull(uffd);
        UffdApiArgument argument = new() { Api = UffdRequest.ApiVersion, Features = (ulong)requested };
        using FdLease lease = uffd.Lease();
        Errno errno = Call(lease.Fd, UffdRequest.Api, &argument);
        bool done = errno == Errno.OK;
        available = done ? (UffdFeatures)argument.Features : UffdFeatures.None;
        ioctls = done ? (UffdIoctls)argument.Ioctls : UffdIoctls.None;
        return errno;
    }

    /// <summary>
    /// UFFDIO_REGISTER. Start and length are multiples of the page size (2 MiB for hugetlb). Asking for fewer modes than the range has is
    /// a silent no-op: unregister first.
    /// </summary>
    /// <returns>EINVAL: no or incompatible memory, or unaligned. EBUSY: another userfaultfd owns the range. EPERM: shared mapping of a
    /// file opened read-only. ENOMEM: the process is gone, or it has too many mappings.</returns>
    public static Errno Register(SafeUffd uffd, ulong start, ulong length, UffdRegisterModes modes, out UffdIoctls ioctls)
    {
        ArgumentNullException.ThrowIfNull(uffd);
        UffdRegisterArgument argument = new() { Start = start, Length = length, Mode = (ulong)modes };
        using FdLease lease = uffd.Lease();
        Errno errno = Call(lease.Fd, UffdRequest.Register, &argument);
        ioctls = errno == Errno.OK ? (UffdIoctls)argument.Ioctls : UffdIoctls.None;
        return errno;
    }

    /// <summary>UFFDIO_UNREGISTER; wakes the waiters of the range, who then see plain memory. OK on a range that is not registered.</summary>
    /// <returns>EINVAL: nothing is mapped there, or (newer kernels) another userfaultfd owns it. ENOMEM: the process is gone.</returns>
    public static Errno Unregister(SafeUffd uffd, ulong start, ulong length)
    {
        ArgumentNullException.ThrowIfNull(uffd);
        UffdRangeArgument argument = new() { Start = start, Length = length };
        using FdLease lease = uffd.Lease();
        return Call(lease.Fd, UffdRequest.Unregister, &argument);
    }

    private static Errno Call(int fd, uint request, void* argument)
    {
        int result;
        do
            result = Libc.Ioctl(fd, request, argument);
        while (LastError.IsInterrupted(result));
        return result < 0 ? LastError.Get() : Errno.OK;
    }
}
