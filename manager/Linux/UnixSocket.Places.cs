using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>
/// Sockets that are made beside their place, so that between listen(2) and the first connection there is time for something that must come before it.
/// </content>
public static unsafe partial class UnixSocket
{
    [CName("RENAME_NOREPLACE")] private const uint NoReplace = 1;

    /// <summary>What the names of sockets must not end with: under such names they are made.</summary>
    public const string ReservedEnd = ".new";

    /// <summary>Where the socket of a path is made: in the same directory, under a name that nobody is told.</summary>
    public static string NameBeside(string path) => path + ReservedEnd;

    /// <summary>
    /// As <see cref="Listen(string, UnixSocketType, int, uint, uint?, uint?)"/>, but nobody can connect at <paramref name="path"/> before <see cref="MoveIntoPlace"/>. What a
    /// process that died in between has left is replaced.
    /// </summary>
    /// <exception cref="SyscallException">As there; for what is in the way at either of the two names.</exception>
    public static SafeSocketFd ListenBeside(string path, UnixSocketType type, int backlog, uint mode, uint? group = null, uint? owner = null)
    {
        // For the answer alone, which is better had before anything is made: what counts is what MoveIntoPlace finds.
        using UnixAddress address = UnixAddress.Of(path);
        if (FileIo.TryStat(address.Path, out _) == Errno.OK)
            RemoveStale(path, address, type);
        return Listen(NameBeside(path), type, backlog, mode, group, owner);
    }

    /// <summary>
    /// Gives a socket of <see cref="ListenBeside"/> its name, in one step. A socket left behind by a dead listener is replaced; anything else at the path, and a
    /// living listener, is not. (ss(8) goes on showing the name under which it was made.)
    /// </summary>
    /// <exception cref="SyscallException">EADDRINUSE somebody listens, EEXIST something else is there, ENOENT the socket is gone, EACCES, EROFS.</exception>
    public static void MoveIntoPlace(string path, UnixSocketType type)
    {
        using UnixAddress address = UnixAddress.Of(path);
        using UnixAddress beside = UnixAddress.Of(NameBeside(path));
        Errno errno = Rename(beside.Path, address.Path, NoReplace);
        if (errno == Errno.EEXIST)
        {
            RemoveStale(path, address, type);
            errno = Rename(beside.Path, address.Path, NoReplace);
        }

        // A file system that cannot: only what comes there in this very moment is replaced.
        if (errno == Errno.EINVAL)
            errno = FileIo.TryStat(address.Path, out _) == Errno.OK ? Errno.EEXIST : Rename(beside.Path, address.Path, 0);
        if (errno != Errno.OK)
            throw new SyscallException(errno == Errno.EEXIST ? Errno.EADDRINUSE : errno, "rename", path);
    }

    /// <summary>Removes what <see cref="ListenBeside"/> has made and <see cref="MoveIntoPlace"/> has not moved, if it is there.</summary>
    /// <exception cref="SyscallException">EACCES, EPERM, EROFS.</exception>
    public static void RemoveBeside(string path)
    {
        using UnixAddress beside = UnixAddress.Of(NameBeside(path));
        if (FileIo.TryStat(beside.Path, out FileStatus status) == Errno.OK && status.IsSocket && Unlink(beside.Path) < 0 && LastError.Get() is var errno and not Errno.ENOENT)
            throw new SyscallException(errno, "unlink", NameBeside(path));
    }

    private static Errno Rename(string from, string to, uint flags) =>
        RenameAt2(Libc.AT_FDCWD, from, Libc.AT_FDCWD, to, flags) < 0 ? LastError.Get() : Errno.OK;

    [LibraryImport(Libc.Name, EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt2(int fromDirectory, string from, int toDirectory, string to, uint flags);
}
