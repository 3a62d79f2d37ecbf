using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>What kind of file system a file lies on.</content>
public static unsafe partial class FileIo
{
    // linux/magic.h
    private const long TmpfsMagic = 0x01021994;
    private const long RamfsMagic = 0x858458f6;
    private const long HugetlbfsMagic = 0x958458f6;

    /// <summary>
    /// True for a file of tmpfs, ramfs or hugetlbfs, a memfd among them: its pages are memory, and reading one waits for swap at worst.
    /// See statfs(2).
    /// </summary>
    public static bool IsInMemory(SafeFd fd)
    {
        using FdLease lease = fd.Lease();

        // f_type is the first member on every 64-bit architecture; the whole structure has 120 bytes.
        long* status = stackalloc long[32];
        if (FStatFs(lease.Fd, status) < 0)
            return false;
        return status[0] is TmpfsMagic or RamfsMagic or HugetlbfsMagic;
    }

    [LibraryImport(Libc.Name, EntryPoint = "fstatfs", SetLastError = true)]
    private static partial int FStatFs(int fd, long* status);
}
