using System.Runtime.InteropServices;

namespace UffdManager.Linux;

/// <content>
/// Sockets that are made beside their place, so that between listen(2) and the first connection there is time for something that must come before it. Whoever owns a directory on the way to
/// the place can exchange what is there at any moment (RENAME_EXCHANGE), for the directory of somebody else too. So each step looks the directory up once and stays in it, and touches no
/// other file than the one that was made.
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
    /// <returns>The socket, and which file it is.</returns>
    /// <exception cref="SyscallException">As there; for what is in the way at either of the two names.</exception>
    public static (SafeSocketFd Socket, FileStatus File) ListenBeside(string path, UnixSocketType type, int backlog, uint mode, uint? group = null, uint? owner = null)
    {
        using SafeFile directory = OpenParent(path, out string name);

        // For the answer alone, which is better had before anything is made: what counts is what MoveIntoPlace finds.
        using UnixAddress address = UnixAddress.In(directory, name);
        if (FileIo.TryStat(address.Path, out _) == Errno.OK)
            RemoveStale(path, address, type);
        using UnixAddress beside = UnixAddress.In(directory, NameBeside(name));
        SafeSocketFd socket = Listen(NameBeside(path), beside, type, backlog, mode, group, owner, out FileStatus made);
        return (socket, made);
    }

    /// <summary>
    /// Gives a socket of <see cref="ListenBeside"/> its name, in one step. A socket left behind by a dead listener is replaced; anything else at the path, and a
    /// living listener, is not. (ss(8) goes on showing the name under which it was made.)
    /// </summary>
    /// <param name="path">Its place.</param>
    /// <param name="type">Its type.</param>
    /// <param name="made">Which file it is.</param>
    /// <exception cref="SyscallException">EADDRINUSE somebody listens, EEXIST something else is there, ESTALE the directory is another one than when the socket was made, ENOENT the socket is gone, EACCES, EROFS.</exception>
    public static void MoveIntoPlace(string path, UnixSocketType type, FileStatus made)
    {
        using SafeFile directory = OpenParent(path, out string name);
        using UnixAddress address = UnixAddress.In(directory, name);
        using UnixAddress beside = UnixAddress.In(directory, NameBeside(name));
        Check(beside, made, path);
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
        Check(address, made, path);
    }

    /// <summary>Removes what <see cref="ListenBeside"/> has made and <see cref="MoveIntoPlace"/> has not moved, if it is there. Another file stays.</summary>
    /// <exception cref="SyscallException">EACCES, EPERM, EROFS.</exception>
    public static void RemoveBeside(string path, (ulong Device, ulong Inode) made) => Remove(NameBeside(path), made);

    /// <summary>Removes a socket's file, if it is there. Another file stays.</summary>
    /// <param name="path">Its place.</param>
    /// <param name="made">Device and number of the file.</param>
    /// <exception cref="SyscallException">EACCES, EPERM, EROFS.</exception>
    public static void Remove(string path, (ulong Device, ulong Inode) made)
    {
        SafeFile directory;
        string name;
        try
        {
            directory = OpenParent(path, out name);
        }
        catch (SyscallException e) when (e.Errno is Errno.ENOENT or Errno.ENOTDIR)
        {
            return;
        }

        using (directory)
        {
            using UnixAddress address = UnixAddress.In(directory, name);
            if (FileIo.TryStat(address.Path, out FileStatus now) == Errno.OK && (now.Device, now.Inode) == made && Unlink(address.Path) < 0 && LastError.Get() is var errno and not Errno.ENOENT)
                throw new SyscallException(errno, "unlink", path);
        }
    }

    private static SafeFile OpenParent(string path, out string name)
    {
        name = Path.GetFileName(path);
        return FileIo.OpenDirectory(Path.GetDirectoryName(path) is { Length: > 0 } parent ? parent : ".");
    }

    private static void Check(UnixAddress address, FileStatus made, string path)
    {
        Errno errno = FileIo.TryStat(address.Path, out FileStatus now);
        if (errno != Errno.OK || (now.Device, now.Inode) != (made.Device, made.Inode))
            throw new SyscallException(errno == Errno.OK ? Errno.ESTALE : errno, "rename", path);
    }

    private static Errno Rename(string from, string to, uint flags) =>
        RenameAt2(Libc.AT_FDCWD, from, Libc.AT_FDCWD, to, flags) < 0 ? LastError.Get() : Errno.OK;

    [LibraryImport(Libc.Name, EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt2(int fromDirectory, string from, int toDirectory, string to, uint flags);
}
