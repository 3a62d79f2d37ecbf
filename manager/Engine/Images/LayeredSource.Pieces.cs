using UffdManager.Engine.Policies;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Images;

/// <content>Pieces that lie scattered over the image, as a working set is.</content>
/// <remarks>
/// Through chunks, a working set of single pages would read 32 times as much as it needs, and push itself out of the cache. So a small piece whose chunk is not there is read alone,
/// and other clones find it in the kernel's page cache. Files that are read past that are read by chunks: nothing else would keep what was read.
/// </remarks>
public sealed partial class LayeredSource
{
    // Of larger pieces most chunks are wanted as a whole.
    private const int SmallPiece = ChunkStore.ChunkBytes / 2;

    /// <inheritdoc/>
    public override Errno FetchPiece(long offset, int length, nuint buffer, Tenant payer, out SourcePages page)
    {
        if (!IsReadAlone(length) || offset >= _end)
        {
            return Fetch(offset, length, buffer, payer, out page);
        }

        if (TryGet(offset, length, buffer, out page) == SourceAnswer.Ready)
        {
            return Errno.OK;
        }

        if (TrySearch() is var searched and not Errno.OK)
        {
            return searched;
        }

        int bytes = (int)Math.Min(length, _end - offset);
        Errno errno = ReadInto(buffer, offset, bytes, clear: true);
        page = errno == Errno.OK ? new SourcePages(buffer, bytes) : default;
        return errno;
    }

    /// <inheritdoc/>
    public override void WillNeed(long offset, long length)
    {
        if (_contents is null)
        {
            return;
        }

        long from = IsReadAlone(length) ? offset : (long)PageSize.AlignDown((ulong)offset, ChunkStore.ChunkBytes);
        long to = Math.Min(_end, IsReadAlone(length) ? offset + length : (long)PageSize.AlignUp((ulong)(offset + length), ChunkStore.ChunkBytes));
        for (int i = Map.FirstAfter(from); i < Map.Count && Map[i].Start < to; i++)
        {
            LayerRun run = Map[i];
            _layers[run.Layer].WillNeed(Math.Max(run.Start, from), Math.Min(run.End, to) - Math.Max(run.Start, from));
        }
    }

    private bool IsReadAlone(long length) => length <= SmallPiece && _layers.All(layer => !layer.IsDirect);
}
