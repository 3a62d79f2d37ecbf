using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>What kind of file system a file lies on.</content>
public static unsafe partial class FileIo
{
    // linux/magic.h
    private const long TmpfsMagic = 0x01021994;
    private const long RamfsMagic = 0x858458f6;
    private const long HugetlbfsMagic = 0x958458f6;
    private const long ExtMagic = 0xef53;
    private const long XfsMagic = 0x58465342;
    private const long BtrfsMagic = 0x9123683e;
    private const long F2fsMagic = 0xf2f52010;

    /// <summary>
    /// True for a file of tmpfs, ramfs or hugetlbfs, a memfd among them: its pages are memory, and reading one waits for swap at worst.
    /// See statfs(2).
    /// </summary>
    public static bool IsInMemory(SafeFd fd) => TypeOf(fd) is TmpfsMagic or RamfsMagic or HugetlbfsMagic;

    /// <summary>
    /// True for a file whose page cache only this kernel changes, and whose reads end with a disk of this machine. Not for FUSE and network file
    /// systems, nor for overlays, which may lie on either: there somebody else may drop a cached page at any time and never bring it again. See statfs(2).
    /// </summary>
    public static bool IsOnLocalDisk(SafeFd fd) => TypeOf(fd) is ExtMagic or XfsMagic or BtrfsMagic or F2fsMagic;

    private static long TypeOf(SafeFd fd)
    {
        using FdLease lease = fd.Lease();

        // f_type is the first member on every 64-bit architecture; the whole structure has 120 bytes.
        long* status = stackalloc long[32];
        return FStatFs(lease.Fd, status) < 0 ? 0 : status[0];
    }

    [LibraryImport(Libc.Name, EntryPoint = "fstatfs", SetLastError = true)]
    private static partial int FStatFs(int fd, long* status);
}
