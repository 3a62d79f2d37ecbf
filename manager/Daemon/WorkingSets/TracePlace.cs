using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Daemon.WorkingSets;

/// <summary>A directory and the name that a trace has in it. Whoever may write there may put anything under that name: what is read is proven by the engine, and what
/// is written replaces the name and nothing that it leads to.</summary>
internal sealed class TracePlace(SafeFile directory, string name) : IDisposable
{
    // A trace is 4 MiB at most; what is longer is none.
    private const int MaximumBytes = (4 << 20) + 1;

    public string Name { get; } = name;

    /// <summary>The trace; null with ENOENT when there is none.</summary>
    public byte[]? TryRead(out Errno errno)
    {
        // NonBlock: opening a FIFO would wait for its writer.
        using SafeFile? file = FileIo.OpenBeneath(directory, Name, OpenFlags.ReadOnly | OpenFlags.NonBlock, out errno);
        if (file is null)
            return null;

        FileStatus status = FileIo.Stat(file);
        if (!status.IsRegular)
        {
            errno = Errno.EINVAL;
            return null;
        }

        byte[] bytes = new byte[Math.Min(status.Size, MaximumBytes)];
        int done = 0;
        while (done < bytes.Length)
        {
            errno = FileIo.Read(file, bytes.AsSpan(done), done, out int read);
            if (errno != Errno.OK)
                return null;
            if (read == 0)
                break;
            done += read;
        }

        return bytes[..done];
    }

    /// <summary>
    /// Writes under another name, and renames. Nothing is forced to the disk: a trace that a power failure leaves incomplete is told by its checksum, and learnt anew.
    /// </summary>
    public Errno TryWrite(ReadOnlySpan<byte> trace)
    {
        string fresh = Name + ".new";
        _ = FileIo.Unlink(directory, fresh);
        using SafeFile? file = FileIo.OpenBeneath(directory, fresh, OpenFlags.WriteOnly | OpenFlags.Create | OpenFlags.Exclusive | OpenFlags.NonBlock, out Errno errno);
        if (file is null)
            return errno;

        int done = 0;
        while (done < trace.Length && errno == Errno.OK)
        {
            errno = FileIo.Write(file, trace[done..], done, out int written);
            done += written;
        }

        if (errno == Errno.OK)
            errno = FileIo.Rename(directory, fresh, Name);
        if (errno != Errno.OK)
            _ = FileIo.Unlink(directory, fresh);
        return errno;
    }

    /// <summary>Removes the trace; ENOENT when there is none.</summary>
    public Errno Remove() => FileIo.Unlink(directory, Name);

    public void Dispose() => directory.Dispose();

    /// <summary>Beside the image, if the file there is still the one that the trace is of; null for not.</summary>
    /// <param name="key">What the trace is of.</param>
    /// <param name="location">Where the image was when it was opened.</param>
    /// <param name="roots">Directories below which traces may be written.</param>
    public static TracePlace? TryBeside(in TraceKey key, string? location, IEnumerable<string> roots)
    {
        foreach (string root in roots)
        {
            string prefix = root.EndsWith('/') ? root : root + "/";
            if (location is null || !location.StartsWith(prefix, StringComparison.Ordinal) || location.Length == prefix.Length)
                continue;
            if (TryOpenDirectory(root, Path.GetDirectoryName(location[prefix.Length..]) ?? "") is not { } directory)
                continue;

            string image = Path.GetFileName(location);
            using SafeFile? found = FileIo.OpenBeneath(directory, image, OpenFlags.Path, out _);
            if (found is not null && FileIo.Stat(found) is var status && status.Device == key.Source.Device && status.Inode == key.Source.Inode)
                return new TracePlace(directory, $"{image}.{key.Tenant}.{key.PageBytes / 1024}k.trace");
            directory.Dispose();
        }

        return null;
    }

    private static SafeFile? TryOpenDirectory(string root, string relative)
    {
        SafeFile? top = FileIo.TryOpen(root, OpenFlags.Path | OpenFlags.Directory, out _);
        if (top is null || relative.Length == 0)
            return top;
        using (top)
            return FileIo.OpenBeneath(top, relative, OpenFlags.Path | OpenFlags.Directory, out _);
    }
}
