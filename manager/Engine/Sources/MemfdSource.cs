using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>Contents held in a memfd: always in memory, so every fault is resolved on the fault loop.</summary>
/// <remarks>
/// One that is sealed against writing (F_SEAL_WRITE, which forbids holes to be punched as well) and has no holes is mapped, and its pages are copied
/// from there. Any other one is read: a mapping would make pages of the holes that it is read at, and they would be charged to the manager.
/// </remarks>
public sealed class MemfdSource : PageSource
{
    private readonly SafeFd _memfd;
    private readonly FdLease _lease;
    private readonly nuint _mapping;
    private readonly ulong _mappedBytes;

    /// <summary>Takes a memfd over.</summary>
    /// <param name="memfd">Sealed against shrinking (F_SEAL_SHRINK), so that no page can vanish; owned from now on,
    /// also when the constructor throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <exception cref="ArgumentException">Not sealed against shrinking, or empty.</exception>
    /// <exception cref="SyscallException">Not a memfd.</exception>
    public MemfdSource(SafeFd memfd, string description)
    {
        _memfd = memfd;
        Description = description;
        try
        {
            MemfdSeals seals = Memfd.GetSeals(memfd);
            if (!seals.HasFlag(MemfdSeals.Shrink))
            {
                throw new ArgumentException($"{description} must be sealed with F_SEAL_SHRINK", nameof(memfd));
            }

            FileStatus status = FileIo.Stat(memfd);
            Status = status;
            Length = status.Size;
            if (Length <= 0)
            {
                throw new ArgumentException($"{description} is empty", nameof(memfd));
            }

            _mappedBytes = PageSize.AlignUp((ulong)Length, (ulong)PageSize.Base);
            if (seals.HasFlag(MemfdSeals.Write) && (ulong)status.Blocks * 512 >= _mappedBytes)
            {
                _mapping = NativePages.MapShared(memfd, 0, _mappedBytes, writable: false);
            }

            _lease = memfd.Lease();
        }
        catch
        {
            memfd.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override string Description { get; }

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    private protected override IReadOnlyList<SafeFd> Descriptors => [_memfd];

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if (offset >= Length)
        {
            return SourceAnswer.Slow;
        }

        if (_mapping != 0)
        {
            page = new SourcePages(_mapping + (nuint)offset, (int)Math.Min((ulong)length, _mappedBytes - (ulong)offset));
            return SourceAnswer.Ready;
        }

        return Read(offset, length, scratch, out page) == Errno.OK ? SourceAnswer.Ready : SourceAnswer.Slow;
    }

    /// <inheritdoc/>
    // Large pieces are read even where a mapping exists: its page-table entries would first have to be made, one page at a time.
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        return offset < Length ? Read(offset, length, buffer, out page) : Errno.ENXIO;
    }

    /// <inheritdoc/>
    protected override void Close()
    {
        if (_mapping != 0)
        {
            NativePages.Unmap(_mapping, _mappedBytes);
        }

        _lease.Dispose();
        _memfd.Dispose();
    }

    private Errno Read(long offset, int length, nuint buffer, out SourcePages page)
    {
        page = default;
        int wanted = (int)Math.Min(length, Length - offset);
        int done = 0;
        while (done < wanted)
        {
            // No memory to bring a page back from swap, or a swap device that fails: another attempt may find it, so it is not told as the end of the source.
            Errno errno = FileIo.Read(_lease, buffer + (nuint)done, wanted - done, offset + done, out int read);
            if (errno != Errno.OK)
            {
                return errno;
            }

            if (read == 0)
            {
                return Errno.EIO;
            }

            done += read;
        }

        int padded = (int)PageSize.AlignUp((ulong)done, (ulong)PageSize.Base);
        NativePages.Clear(buffer + (nuint)done, (nuint)(padded - done));
        page = new SourcePages(buffer, padded);
        return Errno.OK;
    }
}
