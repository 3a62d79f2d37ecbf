namespace UffdManager.Linux;

/// <summary>
/// userfaultfd(2) and ioctl_userfaultfd(2). Every call acts on the address space of the process that created the descriptor, wherever
/// it is made from; only UFFDIO_MOVE insists on the creator.
/// </summary>
public static partial class Userfaultfd
{
    private const string DevicePath = "/dev/userfaultfd";

    private static long s_features = -1;

    /// <summary>
    /// Creates a userfaultfd of this process. The device node decides when it exists: an administrator who closed it meant it, so EACCES
    /// does not fall back to the system call.
    /// </summary>
    /// <exception cref="SyscallException">EACCES (device node), EPERM (system call without privilege), ENOSYS, EMFILE.</exception>
    public static SafeUffd Open(UffdOpenFlags flags = UffdOpenFlags.None)
    {
        SafeFile? device = FileIo.TryOpen(DevicePath, OpenFlags.ReadWrite, out Errno errno);
        if (device is not null)
        {
            using (device)
                return OpenFromDevice(device, flags);
        }

        if (errno == Errno.EACCES && flags.HasFlag(UffdOpenFlags.UserModeOnly))
            return OpenBySyscall(flags); // A user-mode-only descriptor is free for everybody.
        if (errno is not (Errno.ENOENT or Errno.ENXIO or Errno.ENODEV))
            throw new SyscallException(errno, "open", DevicePath);
        return OpenBySyscall(flags);
    }

    /// <summary>Opens /dev/userfaultfd, which another process may then turn into a userfaultfd of its own memory.</summary>
    /// <exception cref="SyscallException">ENOENT before 6.1, EACCES.</exception>
    public static SafeFile OpenDevice() => FileIo.Open(DevicePath, OpenFlags.ReadWrite);

    /// <summary>Makes a userfaultfd of this process out of the open device (USERFAULTFD_IOC_NEW); needs no privilege.</summary>
    /// <exception cref="SyscallException">EMFILE, ENOTTY when the file is not the device.</exception>
    public static unsafe SafeUffd OpenFromDevice(SafeFile device, UffdOpenFlags flags = UffdOpenFlags.None)
    {
        ArgumentNullException.ThrowIfNull(device);
        using FdLease lease = device.Lease();
        int fd;
        do
            fd = Libc.Ioctl(lease.Fd, UffdRequest.New, (void*)NativeFlags(flags));
        while (LastError.IsInterrupted(fd));
        return fd < 0 ? throw LastError.Exception("USERFAULTFD_IOC_NEW", DevicePath) : new SafeUffd(fd);
    }

    /// <summary>
    /// The features this kernel knows. Asked once, of a descriptor made for the purpose; a feature listed here may still need a privilege
    /// (EventFork) or a configuration of the kernel.
    /// </summary>
    /// <exception cref="SyscallException">No userfaultfd can be had at all.</exception>
    public static UffdFeatures ProbeFeatures()
    {
        long known = Volatile.Read(ref s_features);
        if (known >= 0)
            return (UffdFeatures)known;
        using SafeUffd uffd = OpenForProbe();
        Errno errno = Api(uffd, UffdFeatures.None, out UffdFeatures available, out _);
        if (errno != Errno.OK)
            throw new SyscallException(errno, "UFFDIO_API", "");
        Volatile.Write(ref s_features, (long)available);
        return available;
    }

    /// <summary>True when the descriptor is a userfaultfd, whoever made it.</summary>
    public static bool IsUserfaultfd(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        return FileIo.ReadDescriptorLink(fd) == "anon_inode:[userfaultfd]";
    }

    private static SafeUffd OpenForProbe()
    {
        try
        {
            return Open();
        }
        catch (SyscallException e) when (e.Errno is Errno.EACCES or Errno.EPERM)
        {
            return Open(UffdOpenFlags.UserModeOnly);
        }
    }

    private static SafeUffd OpenBySyscall(UffdOpenFlags flags)
    {
        nint fd = Libc.Syscall(SyscallNumber.Userfaultfd, NativeFlags(flags), 0, 0, 0, 0, 0);
        return fd < 0 ? throw LastError.Exception("userfaultfd", flags.ToString()) : new SafeUffd((int)fd);
    }

    private static nint NativeFlags(UffdOpenFlags flags) => (int)flags | Libc.O_CLOEXEC | Libc.O_NONBLOCK;
}
