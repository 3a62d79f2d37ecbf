using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <summary>One file of a layered image, and what it was when it was opened. Any thread.</summary>
/// <remarks>
/// A file that is written or truncated while clones run from it would give them pages of two different moments. Size and time of the last change are
/// compared after every read; what was read before a change was noticed is from before it, as far as the file system's clock can tell.
/// </remarks>
public class ImageLayer : IDisposable
{
    private readonly SafeFile _file;
    private readonly FdLease _lease;

    /// <summary>Takes a file over.</summary>
    /// <param name="file">Opened for reading; owned from now on, also when this throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <param name="isDirect">Whether it was opened with O_DIRECT.</param>
    /// <exception cref="SyscallException">The file cannot be examined.</exception>
    /// <exception cref="ArgumentException">Not a regular file, or empty.</exception>
    public ImageLayer(SafeFile file, string description, bool isDirect)
        : this(file, description, isDirect, asItWas: null)
    {
    }

    /// <summary>Takes a file over that another manager had opened.</summary>
    /// <param name="file">Opened for reading; owned from now on, also when this throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <param name="isDirect">Whether it was opened with O_DIRECT.</param>
    /// <param name="asItWas">What it was then, to which it is compared; null for what it is now.</param>
    internal ImageLayer(SafeFile file, string description, bool isDirect, FileStatus? asItWas)
    {
        ArgumentNullException.ThrowIfNull(file);
        _file = file;
        Description = description;
        IsDirect = isDirect;
        try
        {
            Status = asItWas ?? FileIo.Stat(file);
            if (!Status.IsRegular || Status.Size == 0)
            {
                throw new ArgumentException(Status.IsRegular ? $"{description} is empty" : $"{description} is not a regular file", nameof(file));
            }

            _lease = file.Lease();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>For logs and status.</summary>
    public string Description { get; }

    /// <summary>Whether reads go past the page cache.</summary>
    public bool IsDirect { get; }

    /// <summary>Bytes, when it was opened.</summary>
    public long Length => Status.Size;

    /// <summary>What it was when it was opened.</summary>
    public FileStatus Status { get; }

    /// <summary>The open file once more; owned by the caller.</summary>
    /// <exception cref="SyscallException">No descriptors.</exception>
    internal SafeFile Duplicate() => _file.Duplicate<SafeFile>();

    /// <summary>For the next manager; borrowed.</summary>
    internal SafeFd File => _file;

    /// <summary>
    /// Whether the file can be read the way it was opened. Some file systems accept O_DIRECT and refuse the reads (EINVAL).
    /// </summary>
    /// <returns><see cref="Errno.OK"/>, or why not. May wait for the disk.</returns>
    public Errno TryRead()
    {
        nuint buffer = NativePages.TryMap((ulong)PageSize.Base);
        if (buffer == 0)
        {
            return Errno.ENOMEM;
        }

        Errno errno = FileIo.Read(_lease, buffer, PageSize.Base, 0, out _);
        NativePages.Unmap(buffer, (ulong)PageSize.Base);
        return errno;
    }

    /// <summary>Reads from the file; may wait. What lies beyond its end is left as it is.</summary>
    /// <param name="buffer">Room for <paramref name="length"/> bytes, page aligned.</param>
    /// <param name="length">Bytes, a multiple of the page size.</param>
    /// <param name="offset">Page aligned.</param>
    /// <returns>OK; ESTALE when the file is not what it was, for good; EFAULT when the buffer cannot be had; EIO and others of the device.</returns>
    internal virtual Errno Read(nuint buffer, int length, long offset)
    {
        // Whole blocks, also at the end, where O_DIRECT asks for them.
        long wanted = Math.Min(length, Length - offset);
        long done = 0;
        while (done < wanted)
        {
            Errno errno = FileIo.Read(_lease, buffer + (nuint)done, (int)(length - done), offset + done, out int read);
            if (errno != Errno.OK)
            {
                return errno;
            }

            if (read == 0)
            {
                return Errno.ESTALE;
            }

            done += read;
        }

        return Check();
    }

    /// <summary>Whether its file system answers <see cref="Check"/> at once, so that a fault loop may ask.</summary>
    internal bool AnswersAtOnce() => FileIo.IsInMemory(_file) || FileIo.IsOnLocalDisk(_file);

    /// <summary>Tells the kernel that a range is going to be read, unless it is read past the page cache. Does not wait.</summary>
    internal virtual void WillNeed(long offset, long length)
    {
        if (!IsDirect)
        {
            FileIo.WillNeed(_lease, offset, length);
        }
    }

    /// <summary>The next byte of data; -1 when none follows. May wait.</summary>
    /// <exception cref="SyscallException">The file cannot be searched.</exception>
    internal virtual long SeekData(long from) => FileIo.SeekData(_file, from);

    /// <summary>The next hole, or the end; -1 behind the end. May wait.</summary>
    /// <exception cref="SyscallException">The file cannot be searched.</exception>
    internal virtual long SeekHole(long from) => FileIo.SeekHole(_file, from);

    /// <summary>Whether the file is still what it was when it was opened.</summary>
    /// <returns>OK; ESTALE when it is not, for good; or why nobody can tell at the moment: a network file system whose server does not answer.</returns>
    internal virtual Errno Check()
    {
        try
        {
            FileStatus now = FileIo.Stat(_file);
            return now.Size == Status.Size && now.ModifiedNanoseconds == Status.ModifiedNanoseconds ? Errno.OK : Errno.ESTALE;
        }
        catch (SyscallException failure)
        {
            return failure.Errno == Errno.ENOENT ? Errno.ESTALE : failure.Errno;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the file.</summary>
    protected virtual void Dispose(bool disposing)
    {
        _lease.Dispose();
        _file.Dispose();
    }
}
