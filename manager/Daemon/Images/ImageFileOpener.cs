using System.Security.Cryptography;
using UffdManager.Engine.Images;
using UffdManager.Linux;

namespace UffdManager.Daemon.Images;

/// <summary>Opens the files of images, and knows them again. May wait for the file system.</summary>
internal static class ImageFileOpener
{
    private const int HeaderBytes = 64 * 1024;

    /// <summary>Looks at a file that is to become an image.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="below">The directories below which it must lie, without symbolic links on the way; null for anywhere.</param>
    /// <returns>What it is, and the SHA-256 of its beginning.</returns>
    /// <exception cref="ImageException">It cannot be used.</exception>
    public static (FileStatus Status, string HeaderSha256) Examine(string path, IReadOnlyList<string>? below)
    {
        using SafeFile file = below is null ? Open(path, OpenFlags.ReadOnly) : OpenBelow(path, below);
        return Examine(file, path);
    }

    /// <summary>Opens the file of an image that was added.</summary>
    /// <returns>The caller owns it.</returns>
    /// <exception cref="ImageException">It cannot be opened, or is not the file that was added.</exception>
    public static ImageLayer OpenLayer(ImageDefinition image)
    {
        SafeFile file = Open(image.Path, OpenFlags.ReadOnly);
        try
        {
            (FileStatus status, string header) = Examine(file, image.Path);
            if ((status.Inode, status.Size, status.ModifiedNanoseconds, header) != (image.Inode, image.Bytes, image.ModifiedNanoseconds, image.HeaderSha256))
                throw Changed(image.Name, image.Path);
            return image.Direct && TryOpenDirect(image, status) is { } direct ? direct : new ImageLayer(file.Duplicate<SafeFile>(), image.Path, isDirect: false);
        }
        catch (ArgumentException unusable)
        {
            throw new ImageException(ImageFault.Invalid, unusable.Message);
        }
        catch (SyscallException failure)
        {
            throw Unreadable(image.Path, failure.Errno);
        }
        finally
        {
            file.Dispose();
        }
    }

    /// <summary>The file of an image is not what it was when it was added.</summary>
    public static ImageException Changed(string image, string path) => new(
        ImageFault.Conflict,
        $"{path} is not what it was when image {image} was added: other contents, size, time of change or another file",
        $"put the file back, or 'uffdctl image remove {image}' and add it again",
        Errno.ESTALE);

    // Where O_DIRECT is refused, by open(2) or by the first read, the page cache has to do.
    private static ImageLayer? TryOpenDirect(ImageDefinition image, FileStatus status)
    {
        if (FileIo.TryOpen(image.Path, OpenFlags.ReadOnly | OpenFlags.NonBlock | OpenFlags.Direct, out _) is not { } file)
            return null;
        ImageLayer layer = new(file, image.Path, isDirect: true);
        if (FileIo.Stat(file).Inode == status.Inode && layer.TryRead() == Errno.OK)
            return layer;
        layer.Dispose();
        return null;
    }

    private static SafeFile Open(string path, OpenFlags flags) =>
        FileIo.TryOpen(path, flags | OpenFlags.NonBlock, out Errno errno) ?? throw Unreadable(path, errno);

    private static SafeFile OpenBelow(string path, IReadOnlyList<string> directories)
    {
        Errno errno = Errno.EACCES;
        foreach (string directory in directories)
        {
            string prefix = directory.TrimEnd('/') + "/";
            if (!path.StartsWith(prefix, StringComparison.Ordinal) || FileIo.TryOpen(directory, OpenFlags.Path | OpenFlags.Directory, out errno) is not { } root)
                continue;
            using (root)
            {
                return FileIo.OpenBeneath(root, path[prefix.Length..].TrimStart('/'), OpenFlags.ReadOnly | OpenFlags.NonBlock, out errno)
                    ?? throw Unreadable(path, errno);
            }
        }

        throw new ImageException(
            ImageFault.Forbidden, $"{path} is not below a directory of images.sourceDirectories", "only root and the user of the daemon may add files from anywhere", errno);
    }

    private static (FileStatus Status, string HeaderSha256) Examine(SafeFile file, string path)
    {
        try
        {
            FileStatus status = FileIo.Stat(file);
            if (!status.IsRegular || status.Size == 0)
                throw new ImageException(ImageFault.Invalid, status.IsRegular ? $"{path} is empty" : $"{path} is not a regular file");
            byte[] header = new byte[(int)Math.Min(HeaderBytes, status.Size)];
            int done = 0;
            while (done < header.Length)
            {
                Errno errno = FileIo.Read(file, header.AsSpan(done), done, out int read);
                if (errno != Errno.OK || read == 0)
                    throw Unreadable(path, errno == Errno.OK ? Errno.EIO : errno);
                done += read;
            }

            return (status, Convert.ToHexStringLower(SHA256.HashData(header)));
        }
        catch (SyscallException failure)
        {
            throw Unreadable(path, failure.Errno);
        }
    }

    private static ImageException Unreadable(string path, Errno errno) => new(
        errno is Errno.ENOENT or Errno.ENOTDIR ? ImageFault.NotFound : ImageFault.Kernel,
        errno switch
        {
            Errno.ELOOP => $"{path}: symbolic links are not followed",
            Errno.EXDEV => $"{path} leads out of the directory",
            _ => $"{path}: {errno.Describe()}",
        },
        errno is Errno.EACCES or Errno.EPERM ? "the daemon must be allowed to read it" : null,
        errno);
}
