using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>Reading and writing at an offset, holes and allocation.</content>
public static unsafe partial class FileIo
{
    [CName("SEEK_DATA")] private const int SeekDataWhence = 3;
    [CName("SEEK_HOLE")] private const int SeekHoleWhence = 4;
    [CName("POSIX_FADV_WILLNEED")] private const int WillNeedAdvice = 3;

    /// <summary>
    /// preadv2(2) with RWF_NOWAIT: reads what the page cache holds and never waits for a disk. Fewer bytes than asked for means that the
    /// rest is not cached, or the end of the file.
    /// </summary>
    /// <returns>EAGAIN nothing cached, EOPNOTSUPP the file system cannot tell.</returns>
    public static Errno ReadNoWait(FdLease fd, nuint buffer, int length, long offset, out int read)
    {
        IoVector vector = new() { Base = buffer, Length = (nuint)length };
        nint result;
        do
            result = Libc.Preadv2(fd.Fd, &vector, 1, offset, Userfaultfd.NoWait);
        while (LastError.IsInterrupted(result));
        return Transferred(result, out read);
    }

    /// <summary>pread(2); may return fewer bytes than asked for, 0 at the end of the file.</summary>
    public static Errno Read(FdLease fd, nuint buffer, int length, long offset, out int read)
    {
        nint result;
        do
            result = PRead(fd.Fd, (void*)buffer, (nuint)length, offset);
        while (LastError.IsInterrupted(result));
        return Transferred(result, out read);
    }

    /// <summary>pread(2) into a span; may read less than asked for.</summary>
    public static Errno Read(SafeFd fd, Span<byte> into, long offset, out int read)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        fixed (byte* buffer = into)
            return Read(lease, (nuint)buffer, into.Length, offset, out read);
    }

    /// <summary>pwrite(2); may write fewer bytes than asked for.</summary>
    public static Errno Write(FdLease fd, nuint buffer, int length, long offset, out int written)
    {
        nint result;
        do
            result = PWrite(fd.Fd, (void*)buffer, (nuint)length, offset);
        while (LastError.IsInterrupted(result));
        return Transferred(result, out written);
    }

    /// <summary>pwrite(2) of a span; may write less than asked for.</summary>
    public static Errno Write(SafeFd fd, ReadOnlySpan<byte> from, long offset, out int written)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        fixed (byte* buffer = from)
            return Write(lease, (nuint)buffer, from.Length, offset, out written);
    }

    /// <summary>pwrite(2) until the whole span is written.</summary>
    /// <returns>ENOSPC, EIO, EBADF not open for writing; a part may be written then.</returns>
    public static Errno WriteAll(SafeFd fd, ReadOnlySpan<byte> from, long offset)
    {
        while (!from.IsEmpty)
        {
            Errno errno = Write(fd, from, offset, out int written);
            if (errno != Errno.OK)
                return errno;
            from = from[written..];
            offset += written;
        }

        return Errno.OK;
    }

    /// <summary>fallocate(2).</summary>
    /// <returns>ENOSPC, EOPNOTSUPP, EPERM sealed.</returns>
    public static Errno Fallocate(SafeFd fd, FallocateMode mode, long offset, long length)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        int result;
        do
            result = Fallocate(lease.Fd, (int)mode, offset, length);
        while (LastError.IsInterrupted(result));
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>posix_fadvise(2), POSIX_FADV_WILLNEED: the kernel begins to read a range into the page cache, and does not wait for it. A hint.</summary>
    public static void WillNeed(FdLease fd, long offset, long length) => _ = PosixFadvise(fd.Fd, offset, length, WillNeedAdvice);

    /// <summary>fsync(2): what was written is on the disk when it returns; of a directory, what was made, renamed and removed in it.</summary>
    /// <returns>EIO, ENOSPC, EDQUOT: it may not be.</returns>
    public static Errno Sync(SafeFd fd)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        int result;
        do
            result = FSync(lease.Fd);
        while (LastError.IsInterrupted(result));
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    /// <summary>The next offset at or after <paramref name="offset"/> that holds data; -1 when none follows.</summary>
    /// <exception cref="SyscallException">EINVAL: the file cannot be searched.</exception>
    public static long SeekData(SafeFd fd, long offset) => Seek(fd, offset, SeekDataWhence);

    /// <summary>The next offset at or after <paramref name="offset"/> that is a hole or the end; -1 when the offset lies beyond the end.</summary>
    /// <exception cref="SyscallException">EINVAL: the file cannot be searched.</exception>
    public static long SeekHole(SafeFd fd, long offset) => Seek(fd, offset, SeekHoleWhence);

    private static long Seek(SafeFd fd, long offset, int whence)
    {
        ArgumentNullException.ThrowIfNull(fd);
        using FdLease lease = fd.Lease();
        long result = LSeek(lease.Fd, offset, whence);
        if (result >= 0)
            return result;
        return LastError.Get() == Errno.ENXIO ? -1 : throw LastError.Exception("lseek", $"to {offset}");
    }

    private static Errno Transferred(nint result, out int bytes)
    {
        bytes = (int)Math.Max(0, result);
        return result < 0 ? LastError.Get() : Errno.OK;
    }

    [LibraryImport(Libc.Name, EntryPoint = "pread", SetLastError = true)]
    private static partial nint PRead(int fd, void* buffer, nuint count, long offset);

    [LibraryImport(Libc.Name, EntryPoint = "pwrite", SetLastError = true)]
    private static partial nint PWrite(int fd, void* buffer, nuint count, long offset);

    [LibraryImport(Libc.Name, EntryPoint = "fallocate", SetLastError = true)]
    private static partial int Fallocate(int fd, int mode, long offset, long length);

    // Returns its error, and leaves errno alone.
    [LibraryImport(Libc.Name, EntryPoint = "posix_fadvise")]
    private static partial int PosixFadvise(int fd, long offset, long length, int advice);

    [LibraryImport(Libc.Name, EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int fd);

    [LibraryImport(Libc.Name, EntryPoint = "lseek", SetLastError = true)]
    private static partial long LSeek(int fd, long offset, int whence);
}
