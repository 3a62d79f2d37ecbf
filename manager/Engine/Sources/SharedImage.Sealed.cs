using UffdManager.Linux;

namespace UffdManager.Engine.Sources;

/// <content>What others than the clients who map it may be given of a sealed image.</content>
public sealed partial class SharedImage
{
    /// <summary>
    /// Whether nobody but the manager can write it, whoever comes to hold a descriptor of it: sealed, and not merely kept from its clients by permissions. What is filled of such a one may be
    /// given to clients of other tenants.
    /// </summary>
    internal bool IsSealed { get; private init; }

    /// <summary>Whether every page of a range of the source is filled here. For whoever has a reference.</summary>
    /// <param name="sourceOffset">Byte offset in the source, page aligned.</param>
    /// <param name="length">Bytes, page aligned.</param>
    internal bool HasAll(long sourceOffset, long length)
    {
        long offset = sourceOffset - _sourceOffset;
        bool hasAll = Contains(offset, length) && _state.AreAll(offset / PageSize.Base, (int)(length / PageSize.Base), Filled);

        // What is read of the pages is read after what was said of them.
        Interlocked.MemoryBarrier();
        return hasAll;
    }

    /// <summary>Where a byte of the source lies, in a range that <see cref="HasAll"/>; there as long as there is a reference.</summary>
    internal nuint AddressOf(long sourceOffset) => _mapping + (nuint)(sourceOffset - _sourceOffset);

    private void Attach()
    {
        if (IsSealed)
        {
            _source.Attach(this);
        }
    }

    private void Detach()
    {
        if (IsSealed)
        {
            _source.Detach(this);
        }
    }
}
