using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>Contents held in a memfd: always in memory, so every fault is resolved on the fault loop.</summary>
public sealed class MemfdSource : PageSource
{
    private readonly SafeFd _memfd;
    private readonly FdLease _lease;

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
            if (!Memfd.GetSeals(memfd).HasFlag(MemfdSeals.Shrink))
            {
                throw new ArgumentException($"{description} must be sealed with F_SEAL_SHRINK", nameof(memfd));
            }

            Length = FileIo.Stat(memfd).Size;
            if (Length <= 0)
            {
                throw new ArgumentException($"{description} is empty", nameof(memfd));
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
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if (offset >= Length)
        {
            return SourceAnswer.Slow;
        }

        // Read and not mapped: a mapping would make pages of the holes that it is read at, and they would be charged to the manager.
        int wanted = (int)Math.Min(length, Length - offset);
        if (FileIo.Read(_lease, scratch, wanted, offset, out int read) != Errno.OK || read < wanted)
        {
            return SourceAnswer.Slow;
        }

        int padded = (int)PageSize.AlignUp((ulong)read, (ulong)PageSize.Base);
        NativePages.Clear(scratch + (nuint)read, (nuint)(padded - read));
        page = new SourcePages(scratch, padded);
        return SourceAnswer.Ready;
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page) =>
        TryGet(offset, length, buffer, out page) == SourceAnswer.Ready ? Errno.OK : Errno.ENXIO;

    /// <inheritdoc/>
    protected override void Close()
    {
        _lease.Dispose();
        _memfd.Dispose();
    }
}
