using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <summary>memfd_create(2) with its seals.</summary>
public static partial class Memfd
{
    [CName("MFD_CLOEXEC")] private const uint CloseOnExec = 1;
    [CName("F_ADD_SEALS")] private const int AddSealsCommand = 1033;
    [CName("F_GET_SEALS")] private const int GetSealsCommand = 1034;

    /// <summary>A new, empty memfd. The name (up to 249 bytes) shows in /proc only.</summary>
    /// <exception cref="SyscallException">EINVAL flags or name, EMFILE, EPERM huge pages not allowed, ENOMEM.</exception>
    public static SafeMemfd Create(string name, MemfdFlags flags)
    {
        int fd = MemfdCreate(name, (uint)flags | CloseOnExec);
        return fd < 0 ? throw LastError.Exception("memfd_create", name) : new SafeMemfd(fd);
    }

    /// <summary>ftruncate(2): sets the length in bytes; new bytes are zero and take no memory.</summary>
    /// <exception cref="SyscallException">EPERM sealed, EINVAL not a multiple of the huge page, EFBIG.</exception>
    public static void Truncate(SafeFd fd, long length)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        int result;
        do
            result = FTruncate(lease.Fd, length);
        while (LastError.IsInterrupted(result));
        if (result < 0)
            throw LastError.Exception("ftruncate", $"to {length}");
    }

    /// <summary>Adds seals; they cannot be taken off.</summary>
    /// <returns>EBUSY a writable mapping exists, EPERM sealed or opened read-only, EINVAL not a memfd.</returns>
    public static Errno AddSeals(SafeFd fd, MemfdSeals seals)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return Libc.Fcntl(lease.Fd, AddSealsCommand, (nint)seals) < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>Whether a descriptor is a file of memory (tmpfs, hugetlbfs), which the kernel tells by itself, whatever the file's name and file system.</summary>
    public static bool IsMemory(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return Libc.Fcntl(lease.Fd, GetSealsCommand, 0) >= 0;
    }

    /// <summary>The seals in force.</summary>
    /// <exception cref="SyscallException">EINVAL: not a memfd.</exception>
    public static MemfdSeals GetSeals(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        int seals = Libc.Fcntl(lease.Fd, GetSealsCommand, 0);
        return seals < 0 ? throw LastError.Exception("F_GET_SEALS", $"fd {lease.Fd}") : (MemfdSeals)seals;
    }

    /// <summary>
    /// Opens the same memory anew for reading only. Whoever gets this descriptor can map it privately, or shared and read-only, and can
    /// never write; a duplicate would keep the right to write. The caller owns it.
    /// </summary>
    /// <exception cref="SyscallException">EMFILE; ENOENT without /proc.</exception>
    public static SafeFile ReopenReadOnly(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return FileIo.Open($"/proc/self/fd/{lease.Fd}", OpenFlags.ReadOnly);
    }

    [LibraryImport(Libc.Name, EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemfdCreate(string name, uint flags);

    [LibraryImport(Libc.Name, EntryPoint = "ftruncate", SetLastError = true)]
    private static partial int FTruncate(int fd, long length);
}
