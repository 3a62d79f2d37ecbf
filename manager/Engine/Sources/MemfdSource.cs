using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <summary>Contents held in a memfd: always in memory, so every fault is resolved on the fault loop.</summary>
public sealed class MemfdSource : PageSource
{
    private readonly SafeFd _memfd;
    private readonly nuint _mapping;
    private readonly ulong _mappedBytes;

    /// <summary>Takes a memfd over.</summary>
    /// <param name="memfd">Sealed against shrinking (F_SEAL_SHRINK), so that no page can vanish under the mapping; owned from now on,
    /// also when the constructor throws.</param>
    /// <param name="description">For logs and status.</param>
    /// <exception cref="ArgumentException">Not sealed against shrinking, or empty.</exception>
    /// <exception cref="SyscallException">Not a memfd, or it cannot be mapped.</exception>
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

            _mappedBytes = PageSize.AlignUp((ulong)Length, (ulong)PageSize.Base);
            _mapping = NativePages.MapShared(memfd, 0, _mappedBytes, writable: false);
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
    public override bool AlwaysReady => true;

    /// <inheritdoc/>
    public override SourceAnswer TryGet(long offset, int length, nuint scratch, out SourcePages page)
    {
        page = default;
        if ((ulong)offset >= _mappedBytes)
        {
            return SourceAnswer.Slow;
        }

        page = new SourcePages(_mapping + (nuint)offset, (int)Math.Min((ulong)length, _mappedBytes - (ulong)offset));
        return SourceAnswer.Ready;
    }

    /// <inheritdoc/>
    public override Errno Fetch(long offset, int length, nuint buffer, out SourcePages page) =>
        TryGet(offset, length, buffer, out page) == SourceAnswer.Ready ? Errno.OK : Errno.ENXIO;

    /// <inheritdoc/>
    protected override void Close()
    {
        if (_mapping != 0)
        {
            NativePages.Unmap(_mapping, _mappedBytes);
        }

        _memfd.Dispose();
    }
}
