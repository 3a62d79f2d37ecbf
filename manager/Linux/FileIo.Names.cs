using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>Names within an open directory.</content>
public static unsafe partial class FileIo
{
    /// <summary>renameat(2) within one directory: <paramref name="to"/> is replaced in one step, and a link of that name is replaced, not followed.</summary>
    /// <param name="directory">Open directory; O_PATH will do.</param>
    /// <param name="from">Plain name.</param>
    /// <param name="to">Plain name.</param>
    /// <returns>ENOENT, EACCES, EISDIR, ENOSPC, …</returns>
    public static Errno Rename(SafeFile directory, string from, string to)
    {
        ArgumentNullException.ThrowIfNull(directory);
        using FdLease lease = directory.Lease();
        return RenameAt(lease.Fd, from, lease.Fd, to) < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>unlinkat(2): removes a name that is no directory.</summary>
    /// <param name="directory">Open directory; O_PATH will do.</param>
    /// <param name="name">Plain name.</param>
    /// <returns>ENOENT, EACCES, EISDIR, …</returns>
    public static Errno Unlink(SafeFile directory, string name)
    {
        ArgumentNullException.ThrowIfNull(directory);
        using FdLease lease = directory.Lease();
        return UnlinkAt(lease.Fd, name, 0) < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>linkat(2) within one directory: gives a file a second name, which must be free.</summary>
    /// <param name="directory">Open directory; O_PATH will do.</param>
    /// <param name="from">Plain name.</param>
    /// <param name="to">Plain name.</param>
    /// <returns>EEXIST it is taken, EPERM the file system has no links, …</returns>
    public static Errno Link(SafeFile directory, string from, string to)
    {
        ArgumentNullException.ThrowIfNull(directory);
        using FdLease lease = directory.Lease();
        return LinkAt(lease.Fd, from, lease.Fd, to, 0) < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>fchown(2).</summary>
    /// <returns>EPERM without CAP_CHOWN.</returns>
    public static Errno ChangeOwner(SafeFile file, uint owner, uint group)
    {
        ArgumentNullException.ThrowIfNull(file);
        using FdLease lease = file.Lease();
        return FChown(lease.Fd, owner, group) < 0 ? LastError.Get() : Errno.OK;
    }

    [LibraryImport(Libc.Name, EntryPoint = "linkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int LinkAt(int fromDirectory, string from, int toDirectory, string to, int flags);

    [LibraryImport(Libc.Name, EntryPoint = "fchown", SetLastError = true)]
    private static partial int FChown(int fd, uint owner, uint group);

    [LibraryImport(Libc.Name, EntryPoint = "renameat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt(int fromDirectory, string from, int toDirectory, string to);

    [LibraryImport(Libc.Name, EntryPoint = "unlinkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int UnlinkAt(int directory, string name, int flags);
}
