using System.Security.Cryptography;
using UffdManager.Linux;
using UffdManager.Protocol;

namespace UffdManager.Daemon.LiveSnapshots;

/// <summary>
/// An image that is being written, under a name of its own; it gets the name that was asked for when it is complete and on the disk, and its description
/// beside it. Nothing that is there is ever replaced, and the directory stays the one that was looked at, whatever becomes of its path.
/// </summary>
internal sealed class ImageFile : IDisposable
{
    private const int LongestPart = 200;

    private readonly SafeFile _directory;
    private readonly string _name;
    private readonly string _partial;
    private readonly uint _owner;
    private readonly uint _group;
    private bool _isPublished;

    private ImageFile(SafeFile directory, string name, string partial, SafeFile output, uint owner, uint group)
    {
        _directory = directory;
        _name = name;
        _partial = partial;
        _owner = owner;
        _group = group;
        Output = output;
    }

    /// <summary>The file; stays the owner's.</summary>
    public SafeFile Output { get; }

    private string Description => $"{_name}.json";

    /// <summary>Makes the file.</summary>
    /// <param name="path">Absolute path of the image.</param>
    /// <param name="uid">Whose the image will be. Who is not root may write only into directories of his own.</param>
    /// <param name="gid">The same, his group.</param>
    /// <exception cref="SyscallException">EEXIST something is there; EACCES the directory is not his, or not the daemon's to write to; EROFS, ENOENT, …</exception>
    public static ImageFile Create(string path, uint uid, uint gid)
    {
        string name = Path.GetFileName(path);
        if (!Path.IsPathRooted(path) || name is "" or "." or ".." || path.Contains('\0', StringComparison.Ordinal))
            throw new SyscallException(Errno.EINVAL, "open", $"{path}: it must be the absolute path of a file");
        SafeFile directory = FileIo.Open(Path.GetDirectoryName(path)!, OpenFlags.ReadOnly | OpenFlags.Directory);
        try
        {
            if (uid != 0 && FileIo.Stat(directory).Uid != uid)
                throw new SyscallException(Errno.EACCES, "open", $"{Path.GetDirectoryName(path)}: it is not yours");
            foreach (string taken in (string[])[name, $"{name}.json"])
            {
                using SafeFile? there = FileIo.OpenBeneath(directory, taken, OpenFlags.Path | OpenFlags.NoFollow, out Errno found);
                if (found != Errno.ENOENT)
                    throw new SyscallException(found == Errno.OK || found == Errno.ELOOP ? Errno.EEXIST : found, "open", $"{taken} in {Path.GetDirectoryName(path)}");
            }

            // With room for what is around it: a name of a file has 255 bytes.
            string partial = $".{ProtocolLimits.Clip(name, LongestPart)}.{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}.partial";
            SafeFile output = FileIo.OpenBeneath(directory, partial, OpenFlags.ReadWrite | OpenFlags.Create | OpenFlags.Exclusive, out Errno errno)
                ?? throw new SyscallException(errno, "open", $"{partial} in {Path.GetDirectoryName(path)}");
            return new ImageFile(directory, name, partial, output, uid, gid);
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>Brings the image to the disk and gives it its name, the description first: who sees the image finds that too.</summary>
    /// <exception cref="SyscallException">EEXIST somebody has made something there meanwhile; EIO, ENOSPC.</exception>
    public void Publish(byte[] description)
    {
        string partial = $"{_partial}.json";
        using SafeFile text = FileIo.OpenBeneath(_directory, partial, OpenFlags.ReadWrite | OpenFlags.Create | OpenFlags.Exclusive, out Errno errno)
            ?? throw new SyscallException(errno, "open", partial);
        try
        {
            Write(text, description);
            Check(FileIo.Sync(text), "fsync", partial);
            Check(FileIo.Sync(Output), "fsync", _partial);
            if (_owner != 0)
            {
                // Where the daemon may not give files away they stay its own.
                _ = FileIo.ChangeOwner(text, _owner, _group);
                _ = FileIo.ChangeOwner(Output, _owner, _group);
            }

            Check(FileIo.Link(_directory, partial, Description), "link", Description);
            if (FileIo.Link(_directory, _partial, _name) is var linked and not Errno.OK)
            {
                _ = FileIo.Unlink(_directory, Description);
                Check(linked, "link", _name);
            }

            _isPublished = true;
        }
        finally
        {
            _ = FileIo.Unlink(_directory, partial);
        }

        _ = FileIo.Unlink(_directory, _partial);
        _ = FileIo.Sync(_directory);
    }

    /// <summary>Removes what has not been published.</summary>
    public void Dispose()
    {
        if (!_isPublished)
            _ = FileIo.Unlink(_directory, _partial);
        Output.Dispose();
        _directory.Dispose();
    }

    private static void Write(SafeFile file, byte[] bytes)
    {
        for (int done = 0; done < bytes.Length;)
        {
            Check(FileIo.Write(file, bytes.AsSpan(done), done, out int written), "pwrite", "the description");
            done += written;
        }
    }

    private static void Check(Errno errno, string call, string subject)
    {
        if (errno != Errno.OK)
            throw new SyscallException(errno, call, subject);
    }
}
