using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>
/// A raw memory image in a file: offset n of the source is byte n of the file.
/// </summary>
/// <remarks>
/// The daemon never loads from its own mapping of the file: a file truncated behind our back would raise SIGBUS. Small windows are
/// read with preadv2(RWF_NOWAIT) on the fault loop when the page cache has them, and with pread on a fetch thread when it has not.
/// Where pages are known to be in memory (<see cref="WarmChunks"/>) they are handed to UFFDIO_COPY straight from a mapping, which
/// saves one copy. Large pieces are brought into that mapping by MADV_POPULATE_READ on a fetch thread. All these calls answer EFAULT where user code would
/// get SIGBUS.
/// </remarks>
public sealed class FileSource : PageSource
{
    /// <summary>From this many bytes on, the mapping pays for its page-table work.</summary>
    private const int MappedFrom = 128 * 1024;

    // A hole that is shorter is read along with what is around it: its zero pages cost less than one more hand-over between threads.
    private const long ShortHole = 128 * 1024;

    private readonly SafeFile _file;
    private readonly FdLease _lease;
    private readonly nuint _mapping;
    private readonly ulong _mappedBytes;
    private readonly WarmChunks? _warm;
    private readonly bool _inMemory;
    private volatile bool _noWaitUnsupported;

    /// <summary>Takes a file over.</summary>
    /// <param name="file">Opened for reading; owned by the source from now on, also when the constructor throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <exception cref="SyscallException">The file cannot be examined.</exception>
    /// <exception cref="ArgumentException">Not a regular file.</exception>
    public FileSource(SafeFile file, string description)
    {
        _file = file;
        Description = description;
        try
        {
            FileStatus status = FileIo.Stat(file);
            if (!status.IsRegular)
            {
                throw new ArgumentException($"{description} is not a regular file", nameof(file));
            }

            Status = status;
            Length = status.Size;
            Location = FileIo.ReadDescriptorLink(file);
            _mappedBytes = (ulong)Length & ~(ulong)(PageSize.Base - 1);
            _mapping = _mappedBytes > 0 ? NativePages.MapShared(file, 0, _mappedBytes, writable: false) : 0;
            _inMemory = FileIo.IsInMemory(file);
            _warm = _mapping != 0 && MayJudgeCache(file, status) ? new WarmChunks(this, _mapping, _mappedBytes) : null;
            _lease = file.Lease();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override string Description { get; }

    /// <summary>Size of the file when it was opened; pages past the end are unavailable, the rest of the last page reads as zeros.</summary>
    public override long Length { get; }

    /// <summary>Null for a file without a name, a memfd among them: no later run can have it.</summary>
    public override SourceIdentity? Identity => Location is null || Location.EndsWith(" (deleted)", StringComparison.Ordinal)
        ? null
        : new SourceIdentity(Status.Device, Status.Inode, Status.Size, Status.ModifiedNanoseconds);

    /// <inheritdoc/>
    public override string? Location { get; }

    /// <inheritdoc/>
    private protected override IReadOnlyList<SafeFd> Descriptors => [_file];

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if (offset >= Length)
        {
            return SourceAnswer.Slow;
        }

        if (_warm is not null && (ulong)(offset + length) <= _mappedBytes && _warm.IsWarm(offset, length, MonotonicClock.NowNanoseconds))
        {
            page = new SourcePages(_mapping + (nuint)offset, length);
            return SourceAnswer.Ready;
        }

        if (_noWaitUnsupported && !_inMemory)
        {
            return SourceAnswer.Slow;
        }

        int wanted = (int)Math.Min(length, Length - offset);
        int read;

        // Memory is read and not mapped: a mapping would make pages of the holes that it is read at.
        Errno errno = _inMemory
            ? FileIo.Read(_lease, scratch, wanted, offset, out read)
            : FileIo.ReadNoWait(_lease, scratch, wanted, offset, out read);
        if (errno == Errno.EOPNOTSUPP)
        {
            _noWaitUnsupported = true;
        }

        if (errno != Errno.OK || read <= 0)
        {
            return SourceAnswer.Slow;
        }

        return Complete(offset, read, scratch, out page) ? SourceAnswer.Ready : SourceAnswer.Slow;
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        if (offset >= Length)
        {
            return Errno.ENXIO;
        }

        if (!_inMemory && length >= MappedFrom && (ulong)(offset + length) <= _mappedBytes)
        {
            nuint address = _mapping + (nuint)offset;
            Errno populated = NativePages.Advise(address, (ulong)length, MemoryAdvice.PopulateRead);
            if (populated == Errno.OK)
            {
                page = new SourcePages(address, length);
                return Errno.OK;
            }

            // EFAULT: truncated or a failing device; the read below says which. EINVAL: before 5.14.
        }

        int wanted = (int)Math.Min(length, Length - offset);
        int done = 0;
        while (done < wanted)
        {
            Errno errno = FileIo.Read(_lease, buffer + (nuint)done, wanted - done, offset + done, out int read);
            if (errno != Errno.OK)
            {
                return errno;
            }

            if (read == 0)
            {
                // The file is shorter than it was when it was opened: its missing part is not zeros, it is lost.
                return Errno.EIO;
            }

            done += read;
        }

        return Complete(offset, done, buffer, out page) ? Errno.OK : Errno.EIO;
    }

    /// <inheritdoc/>
    public override (long Start, long End) FindData(long offset, long length)
    {
        long limit = offset + length;
        if (offset >= Length)
        {
            return (offset, limit);
        }

        try
        {
            long start = FileIo.SeekData(_file, offset);
            if (start < 0 || start >= limit)
            {
                return (limit, limit);
            }

            long data = start;
            while (true)
            {
                long hole = FileIo.SeekHole(_file, data);
                if (hole < 0 || hole >= limit)
                {
                    return (start, limit);
                }

                data = FileIo.SeekData(_file, hole);
                if (data < 0 || data >= limit || data - hole >= ShortHole)
                {
                    return (start, hole);
                }
            }
        }
        catch (SyscallException)
        {
            // It cannot be searched, or not now: what is wrong with it is for the read to say.
            return (offset, limit);
        }
    }

    /// <inheritdoc/>
    public override void WillNeed(long offset, long length)
    {
        long end = Math.Min(offset + length, (long)_mappedBytes);
        if (_mapping != 0 && offset < end)
        {
            _ = NativePages.Advise(_mapping + (nuint)offset, (ulong)(end - offset), MemoryAdvice.WillNeed);
        }
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        if (_mapping != 0)
        {
            NativePages.Unmap(_mapping, _mappedBytes);
        }

        _lease.Dispose();
        _file.Dispose();
    }

    // Only of a disk of this machine is it known that what is in memory stays there for a moment; and only to the owner does mincore(2) tell the truth.
    private static bool MayJudgeCache(SafeFile file, FileStatus status) =>
        FileIo.IsOnLocalDisk(file) && (status.Uid == ProcessInfo.EffectiveUid || Capabilities.HasEffective(Capabilities.FileOwner));

    // Cuts to whole pages; only the end of the file may be rounded up, with zeros.
    private bool Complete(long offset, int read, nuint buffer, out SourcePages page)
    {
        int tail = read & (PageSize.Base - 1);
        if (tail != 0)
        {
            if (offset + read == Length)
            {
                NativePages.Clear(buffer + (nuint)read, (nuint)(PageSize.Base - tail));
                read += PageSize.Base - tail;
            }
            else
            {
                read -= tail;
            }
        }

        page = new SourcePages(buffer, read);
        return read > 0;
    }
}
