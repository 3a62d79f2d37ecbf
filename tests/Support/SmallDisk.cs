using System.Diagnostics;

namespace UffdManager.TestSupport;

/// <summary>A file system of a few pages, mounted for as long as this lives. Skips the test where it may not be mounted.</summary>
public sealed class SmallDisk : IDisposable
{
    /// <param name="path">Where; a directory that is made if it is not there.</param>
    /// <param name="bytes">Its size, a multiple of 4096.</param>
    /// <param name="files">Files that there may be, its own directory among them; 0 is as many as the kernel thinks right.</param>
    public SmallDisk(string path, long bytes, int files = 0)
    {
        Require.Mounting();
        Path = Directory.CreateDirectory(path).FullName;
        Run("mount", "-t", "tmpfs", "-o", files == 0 ? $"size={bytes}" : $"size={bytes},nr_inodes={files}", "none", Path);
    }

    /// <summary>Where it is mounted.</summary>
    public string Path { get; }

    /// <summary>Writes until nothing fits any more.</summary>
    /// <param name="name">Of the file that takes the room; to delete it makes room.</param>
    public void Fill(string name = "filler")
    {
        using FileStream file = new(System.IO.Path.Combine(Path, name), FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        byte[] page = new byte[4096];
        try
        {
            while (true)
                file.Write(page);
        }
        catch (IOException)
        {
            // ENOSPC, which is what was wanted.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Run("umount", "-l", Path);

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false })!;
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new IOException($"{program} {string.Join(' ', arguments)}: {error}");
    }
}
