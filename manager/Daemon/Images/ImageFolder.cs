using System.Text.Json;
using UffdManager.Linux;

namespace UffdManager.Daemon.Images;

/// <summary>
/// The directory in which images are remembered: a file <c>NAME.json</c> for each. A file appears whole or not at all, and is on the disk when
/// <see cref="Save"/> returns; what is not an image of this directory is left alone.
/// </summary>
internal sealed class ImageFolder(string directory)
{
    private const string Suffix = ".json";
    private const uint DirectoryMode = 0b111_101_000;
    private const int LongestFile = 64 * 1024;

    /// <summary>Everything that is remembered.</summary>
    /// <param name="problems">Gets a line for each file that cannot be read.</param>
    /// <param name="unreadable">Gets the same by the name of the image whose file it would be.</param>
    public IReadOnlyList<ImageDefinition> Load(List<string> problems, Dictionary<string, string> unreadable)
    {
        List<ImageDefinition> found = [];
        string[] paths;
        try
        {
            paths = Directory.Exists(directory) ? Directory.GetFiles(directory, "*" + Suffix) : [];
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            problems.Add($"images.directory {directory} cannot be read: {failure.Message}");
            return found;
        }

        foreach (string path in paths.Order(StringComparer.Ordinal))
        {
            try
            {
                found.Add(Read(path));
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or JsonException)
            {
                string problem = $"{path} is not the file of an image that this build can read: {failure.Message}";
                problems.Add(problem);
                unreadable[NameOf(path)] = problem;
            }
        }

        return found;
    }

    /// <summary>Looks whether an image can be remembered under a name: a file that is there, and could not be read, may be an image of another build.</summary>
    /// <exception cref="ImageException">There is a file of this name.</exception>
    public void CheckIsFree(string name)
    {
        if (Has(name))
            throw Taken(name);
    }

    /// <summary>Whether there is a file of an image's name, whatever it holds.</summary>
    public bool Has(string name) => Path.Exists(PathOf(name));

    /// <summary>Remembers an image.</summary>
    /// <exception cref="ImageException">It cannot be written, or there is a file of its name.</exception>
    public void Save(ImageDefinition definition)
    {
        string path = PathOf(definition.Name);
        string temporary = path + "~";
        bool isNamed = false;
        try
        {
            Directory.CreateDirectory(directory, (UnixFileMode)DirectoryMode);
            using (FileStream file = new(temporary, FileMode.Create, FileAccess.Write))
            {
                JsonSerializer.Serialize(file, definition, ImageJson.Default.ImageDefinition);
                file.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: false);
            isNamed = true;
            SyncDirectory();
        }
        catch (IOException) when (File.Exists(temporary) && Path.Exists(path))
        {
            throw Taken(definition.Name);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or SyscallException)
        {
            // What was refused must not be there after a restart.
            if (isNamed)
                TryDelete(path);
            TryDelete(temporary);
            throw Unwritable(failure);
        }
    }

    /// <summary>Forgets an image.</summary>
    /// <returns>Why its file may be there again after a crash of the machine; null when it will not.</returns>
    /// <exception cref="ImageException">Its file cannot be removed.</exception>
    public string? Delete(string name)
    {
        try
        {
            File.Delete(PathOf(name));
        }
        catch (DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or SyscallException)
        {
            throw Unwritable(failure);
        }

        try
        {
            SyncDirectory();
            return null;
        }
        catch (SyscallException failure)
        {
            return $"images.directory {directory} cannot be synchronized: {failure.Message}";
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // The reason of the first failure is told; a file that stays is one that the next start reads, or skips.
        }
    }

    private static ImageDefinition Read(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read);
        if (file.Length > LongestFile)
            throw new JsonException($"it has {file.Length} bytes");
        ImageDefinition definition = JsonSerializer.Deserialize(file, ImageJson.Default.ImageDefinition) ?? throw new JsonException("it is empty");
        string name = NameOf(path);
        bool isOldDiff = definition.Version < ImageDefinition.FirstWithBaseIdentity && definition.BaseIdentity is null;
        return definition.Version is 0 or > ImageDefinition.GreatestVersion ? throw new JsonException($"it is of version {definition.Version}")
            : definition.Name != name || !ImageName.IsValid(name) ? throw new JsonException($"it is the file of \"{definition.Name}\"")
            : (definition.Base is null) != (definition.BaseIdentity is null) && !isOldDiff ? throw new JsonException("it does not say which contents it is a diff upon")
            : definition.Path is not ['/', ..] || definition.Below is not (null or ['/', ..]) ? throw new JsonException("its path is not an absolute one")
            : definition.HeaderSha256 is not { Length: 64 } hash || !hash.All(char.IsAsciiHexDigitLower) ? throw new JsonException("it has no hash")
            : definition.PageBytes is not (4096 or (2 << 20)) || definition.Bytes <= 0 ? throw new JsonException("its numbers are not those of an image")
            : definition;
    }

    private ImageException Taken(string name) => new(
        ImageFault.Conflict,
        $"{PathOf(name)} is there, and is not an image that this daemon has read: it is left alone",
        $"'uffdctl image show {name}' says what was wrong with it when the daemon started; mend it and restart the daemon, or 'uffdctl image remove {name}'",
        Errno.EEXIST);

    private static string NameOf(string path) => Path.GetFileName(path)[..^Suffix.Length];

    private string PathOf(string name) => Path.Combine(directory, name + Suffix);

    // A rename is on the disk when its directory is.
    private void SyncDirectory()
    {
        using SafeFile folder = FileIo.Open(directory, OpenFlags.ReadOnly | OpenFlags.Directory);
        if (FileIo.Sync(folder) is var errno and not Errno.OK)
            throw new SyscallException(errno, "fsync", directory);
    }

    private ImageException Unwritable(Exception failure)
    {
        // What the runtime has no exception of its own for has the number of the error.
        Errno errno = failure is SyscallException syscall ? syscall.Errno : failure.HResult == (int)Errno.ENOSPC ? Errno.ENOSPC : Errno.EIO;
        return new ImageException(
            ImageFault.Kernel,
            $"images.directory {directory} cannot be written: {failure.Message}",
            errno == Errno.ENOSPC ? "make room on its file system, or set images.directory to a directory of another one" : "make it writable for the daemon, or set images.directory to a directory that is",
            errno);
    }
}
