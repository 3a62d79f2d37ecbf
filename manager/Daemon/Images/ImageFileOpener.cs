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
    /// <returns>What it is, the SHA-256 of its beginning, and below which of the directories it lies.</returns>
    /// <exception cref="ImageException">It cannot be used.</exception>
    public static (FileStatus Status, string HeaderSha256, string? Directory) Examine(string path, IReadOnlyList<string>? below)
    {
        string? directory = null;
        using SafeFile file = below is null ? Open(path) : OpenBelow(path, below, out directory);
        (FileStatus status, string header) = Examine(file, path);
        return (status, header, directory);
    }

    /// <summary>Opens the file of an image that was added.</summary>
    /// <returns>The caller owns it.</returns>
    /// <exception cref="ImageException">It cannot be opened, or is not the file that was added.</exception>
    public static ImageLayer OpenLayer(ImageDefinition image)
    {
        SafeFile file = image.Below is null ? Open(image.Path) : OpenBelow(image.Path, [image.Below], out _);
        try
        {
            (FileStatus status, string header) = Examine(file, image.Path);
            ImageLayer layer = image.Direct && TryOpenDirect(image, file) is { } direct ? direct : new ImageLayer(file.Duplicate<SafeFile>(), image.Path, isDirect: false);

            // What the layer holds on to is what is served: a write between the two looks would be a part of it.
            if (header == image.HeaderSha256 && IsTheOne(image, status) && IsTheOne(image, layer.Status))
                return layer;
            layer.Dispose();
            throw Changed(image.Name, image.Path);
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

    private static bool IsTheOne(ImageDefinition image, FileStatus status) =>
        (status.Inode, status.Size, status.ModifiedNanoseconds) == (image.Inode, image.Bytes, image.ModifiedNanoseconds);

    // The same open file once more, whatever its path leads to by now. Where O_DIRECT is refused, by open(2) or by the first read, the page cache has to do.
    private static ImageLayer? TryOpenDirect(ImageDefinition image, SafeFile file)
    {
        if (FileIo.TryReopen(file, OpenFlags.ReadOnly | OpenFlags.NonBlock | OpenFlags.Direct, out _) is not { } again)
            return null;
        ImageLayer layer = new(again, image.Path, isDirect: true);
        if (layer.TryRead() == Errno.OK)
            return layer;
        layer.Dispose();
        return null;
    }

    private static SafeFile Open(string path) =>
        FileIo.TryOpen(path, OpenFlags.ReadOnly | OpenFlags.NonBlock, out Errno errno) ?? throw Unreadable(path, errno);

    private static SafeFile OpenBelow(string path, IReadOnlyList<string> directories, out string? found)
    {
        found = null;
        Errno errno = Errno.EACCES;
        foreach (string directory in directories)
        {
            string prefix = directory.TrimEnd('/') + "/";
            if (!path.StartsWith(prefix, StringComparison.Ordinal) || FileIo.TryOpen(directory, OpenFlags.Path | OpenFlags.Directory, out errno) is not { } root)
                continue;
            using (root)
            {
                found = directory;
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
