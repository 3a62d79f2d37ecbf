using System.Collections.Concurrent;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Reads what the client never touched from its sources, on a thread of its own: a source may be slow, or hang, and whoever waits to write a page must not wait with
/// it. Ends the writer's work when its own is over.
/// </summary>
internal sealed class SourceReader(Snapshot snapshot, SnapshotBuffers buffers, SnapshotWriter writer, bool hasBase) : IDisposable
{
    // A run of any length each.
    private const int MostRuns = 4096;

    private readonly BlockingCollection<(PageSource Source, long Offset, long Length, long FileOffset)> _runs = new(MostRuns);

    /// <summary>Hands a run over; false when there is no room for now.</summary>
    public bool TryAdd(PageSource source, long offset, long length, long fileOffset)
    {
        if (_runs.TryAdd((source.AddReference(), offset, length, fileOffset)))
        {
            return true;
        }

        source.Dispose();
        return false;
    }

    public void Complete() => _runs.CompleteAdding();

    public void Dispose() => _runs.Dispose();

    /// <summary>Reads from a source into a buffer; what fails ends the snapshot.</summary>
    public static bool TryFetch(Snapshot snapshot, PageSource source, long offset, int length, nuint buffer)
    {
        int done = 0;
        while (done < length)
        {
            nuint target = buffer + (nuint)done;
            Errno errno = Ask(snapshot, source, offset + done, length - done, target, out SourcePages pages);
            int brought = Math.Min(pages.Length, length - done);
            if (errno == Errno.OK && pages.Address != target)
            {
                // It may be a mapping of a file that somebody truncates.
                errno = brought == 0 ? Errno.EIO : NativePages.CopyChecked(target, pages.Address, (nuint)brought);
            }

            if (pages.Length > 0)
            {
                source.Release(in pages);
            }

            if (errno != Errno.OK || brought == 0)
            {
                errno = errno == Errno.OK ? Errno.EIO : errno;
                snapshot.Fail(EngineErrorKind.Source, errno, $"{source.Description} cannot be read at offset {offset + done}: {errno.Describe()}");
                return false;
            }

            done += brought;
        }

        return true;
    }

    // As the threads do that fetch for faults: a source that fails in a way of its own ends the snapshot, and not the manager.
    private static Errno Ask(Snapshot snapshot, PageSource source, long offset, int length, nuint target, out SourcePages pages)
    {
        try
        {
            return source.Fetch(offset, length, target, snapshot.Session.Tenant, out pages);
        }
        catch (Exception error) when (error is IOException or SyscallException or ObjectDisposedException or InvalidOperationException)
        {
            pages = default;
            return error is SyscallException syscall ? syscall.Errno : Errno.EIO;
        }
    }

    /// <summary>All of its work, on a thread of its own.</summary>
    public void Run()
    {
        foreach ((PageSource source, long offset, long length, long fileOffset) in _runs.GetConsumingEnumerable())
        {
            long done = 0;
            while (done < length && snapshot.Failure is null)
            {
                if (!hasBase && source.StartsWithZeros(offset + done, length - done, out long zeros))
                {
                    // A hole stays one.
                    done += zeros;
                    continue;
                }

                int piece = (int)Math.Min(length - done, buffers.PieceBytes);
                WriteItem item = new(buffers.Take());
                if (TryFetch(snapshot, source, offset + done, piece, item.Buffer))
                {
                    item.AddPages(0, piece, fileOffset + done, hasBase);
                }

                writer.Add(item);
                done += piece;
            }

            source.Dispose();
            snapshot.Signal();
        }

        writer.Complete();
    }
}
