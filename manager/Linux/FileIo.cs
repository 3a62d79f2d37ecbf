using System.Runtime.InteropServices;
using System.Text;

namespace UffdManager.Linux;

/// <summary>Opening and asking about files: open(2), openat2(2), statx(2), fcntl(2).</summary>
public static unsafe partial class FileIo
{
    private const uint CreateMode = 0x180; // rw for the owner alone

    [CName("RESOLVE_NO_MAGICLINKS")] private const ulong NoMagicLinks = 2;
    [CName("RESOLVE_NO_SYMLINKS")] private const ulong NoSymlinks = 4;
    [CName("RESOLVE_BENEATH")] private const ulong Beneath = 8;

    /// <summary>Opens a path; the caller owns the descriptor.</summary>
    /// <exception cref="SyscallException">What open(2) failed with.</exception>
    public static SafeFile Open(string path, OpenFlags flags) =>
        TryOpen(path, flags, out Errno errno) ?? throw new SyscallException(errno, "open", path);

    /// <summary>Opens a path; null with the reason on failure. The caller owns the descriptor.</summary>
    public static SafeFile? TryOpen(string path, OpenFlags flags, out Errno errno)
    {
        int fd;
        do
            fd = OpenAt(Libc.AT_FDCWD, path, ToNative(flags), CreateMode);
        while (LastError.IsInterrupted(fd));
        errno = fd < 0 ? LastError.Get() : Errno.OK;
        return fd < 0 ? null : new SafeFile(fd);
    }

    /// <summary>Opens what a descriptor is open for once more, with other flags; null with the reason on failure. The caller owns the descriptor.</summary>
    public static SafeFile? TryReopen(SafeFd fd, OpenFlags flags, out Errno errno)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return TryOpen($"/proc/self/fd/{lease.Fd}", flags, out errno);
    }

    /// <summary>Opens a directory to look things up in, never following a link in the last component.</summary>
    /// <exception cref="SyscallException">What open(2) failed with.</exception>
    public static SafeFile OpenDirectory(string path) => Open(path, OpenFlags.Path | OpenFlags.Directory);

    /// <summary>
    /// Opens what a stranger named, below <paramref name="directory"/> and nowhere else: openat2(2) with RESOLVE_BENEATH,
    /// NO_SYMLINKS and NO_MAGICLINKS, so that neither <c>..</c>, an absolute path nor a link of any kind leads out, however the tree
    /// changes meanwhile. The caller owns the descriptor.
    /// </summary>
    /// <returns>Null with EXDEV (leads out), ELOOP (a link), ENOENT, EACCES, ENOSYS (before 5.6), …</returns>
    public static SafeFile? OpenBeneath(SafeFile directory, string relativePath, OpenFlags flags, out Errno errno)
    {
        ArgumentNullException.ThrowIfNull(directory);
        ArgumentNullException.ThrowIfNull(relativePath);
        if (relativePath.Contains('\0', StringComparison.Ordinal))
        {
            errno = Errno.EINVAL; // The kernel would see only what comes before it.
            return null;
        }

        OpenHow how = new()
        {
            Flags = (ulong)(uint)ToNative(flags),
            Mode = flags.HasFlag(OpenFlags.Create) ? CreateMode : 0,
            Resolve = Beneath | NoSymlinks | NoMagicLinks,
        };
        using FdLease lease = directory.Lease();
        byte[] path = Encoding.UTF8.GetBytes(relativePath + '\0');
        nint fd;
        fixed (byte* pointer = path)
        {
            // EAGAIN: a rename or mount during the walk made the kernel unsure; it asks to be called again.
            int attempts = 0;
            do
                fd = Libc.Syscall(SyscallNumber.OpenAt2, lease.Fd, (nint)pointer, (nint)(&how), sizeof(OpenHow), 0, 0);
            while (LastError.IsInterrupted(fd) || (fd < 0 && LastError.Get() == Errno.EAGAIN && ++attempts < 16));
        }

        errno = fd < 0 ? LastError.Get() : Errno.OK;
        return fd < 0 ? null : new SafeFile((int)fd);
    }

    /// <summary>What the file is.</summary>
    /// <exception cref="SyscallException">EIO, ENOMEM.</exception>
    public static FileStatus Stat(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        return TryStat(lease.Fd, "", Libc.AT_EMPTY_PATH, out FileStatus status) is var errno and not Errno.OK
            ? throw new SyscallException(errno, "statx", $"fd {lease.Fd}")
            : status;
    }

    /// <summary>What the path names, without following a link in its last component.</summary>
    public static Errno TryStat(string path, out FileStatus status) => TryStat(Libc.AT_FDCWD, path, AtSymlinkNoFollow, out status);

    /// <summary>chmod(2): sets the permission bits of what the path names.</summary>
    /// <exception cref="SyscallException">EPERM not the owner, ENOENT.</exception>
    public static void ChangeMode(string path, uint mode)
    {
        if (Chmod(path, mode) < 0)
            throw LastError.Exception("chmod", path);
    }

    /// <summary>fchmod(2): sets the permission bits of an open file.</summary>
    /// <exception cref="SyscallException">EPERM not the owner.</exception>
    public static void ChangeMode(SafeFd fd, uint mode)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        if (FChmod(lease.Fd, mode) < 0)
            throw LastError.Exception("fchmod", $"fd {lease.Fd}");
    }

    /// <summary>Sets O_NONBLOCK on the open file, for everybody who shares it.</summary>
    /// <exception cref="SyscallException">EBADF.</exception>
    public static void SetNonBlocking(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        int flags = Libc.Fcntl(lease.Fd, Libc.F_GETFL, 0);
        if (flags < 0 || Libc.Fcntl(lease.Fd, Libc.F_SETFL, flags | Libc.O_NONBLOCK) < 0)
            throw LastError.Exception("fcntl(F_SETFL)", $"fd {lease.Fd}");
    }

    /// <summary>The status flags (F_GETFL): access mode, O_NONBLOCK, …</summary>
    /// <exception cref="SyscallException">EBADF.</exception>
    public static int GetStatusFlags(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        int flags = Libc.Fcntl(lease.Fd, Libc.F_GETFL, 0);
        return flags < 0 ? throw LastError.Exception("fcntl(F_GETFL)", $"fd {lease.Fd}") : flags;
    }

    /// <summary>What /proc/self/fd says the descriptor is: a path, <c>socket:[…]</c>, <c>anon_inode:[…]</c>; empty without /proc.</summary>
    public static string ReadDescriptorLink(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        Span<byte> target = stackalloc byte[512];
        fixed (byte* buffer = target)
        {
            nint length = ReadLink($"/proc/self/fd/{lease.Fd}", buffer, (nuint)target.Length);
            return length <= 0 ? "" : Encoding.UTF8.GetString(target[..(int)length]);
        }
    }

    // The one difference of open(2) between the two architectures: arm64 kept the values of 32-bit arm.
    private static int ToNative(OpenFlags flags)
    {
        int native = (int)flags | Libc.O_CLOEXEC;
        if (RuntimeInformation.ProcessArchitecture != Architecture.Arm64)
            return native;
        native &= ~(int)(OpenFlags.Direct | OpenFlags.Directory | OpenFlags.NoFollow);
        return native
            | (flags.HasFlag(OpenFlags.Direct) ? Arm64Direct : 0)
            | (flags.HasFlag(OpenFlags.Directory) ? Arm64Directory : 0)
            | (flags.HasFlag(OpenFlags.NoFollow) ? Arm64NoFollow : 0);
    }

    [CName("O_DIRECT", Architecture = "aarch64")] private const int Arm64Direct = 0x10000;
    [CName("O_DIRECTORY", Architecture = "aarch64")] private const int Arm64Directory = 0x4000;
    [CName("O_NOFOLLOW", Architecture = "aarch64")] private const int Arm64NoFollow = 0x8000;

    [LibraryImport(Libc.Name, EntryPoint = "openat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenAt(int directory, string path, int flags, uint mode);

    [LibraryImport(Libc.Name, EntryPoint = "chmod", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Chmod(string path, uint mode);

    [LibraryImport(Libc.Name, EntryPoint = "fchmod", SetLastError = true)]
    private static partial int FChmod(int fd, uint mode);

    [LibraryImport(Libc.Name, EntryPoint = "readlink", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint ReadLink(string path, byte* buffer, nuint size);
}

/// <summary>struct open_how.</summary>
[CName("struct open_how")]
internal struct OpenHow
{
    [CName("flags")] public ulong Flags;
    [CName("mode")] public ulong Mode;
    [CName("resolve")] public ulong Resolve;
}
