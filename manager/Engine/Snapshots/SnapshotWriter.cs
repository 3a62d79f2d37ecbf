using System.Collections.Concurrent;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>Writes buffers to the file, on a thread of its own: a slow disk holds up nobody but whoever needs a buffer.</summary>
internal sealed class SnapshotWriter(Snapshot snapshot, SafeFile output, PageSource? baseImage, SnapshotBuffers buffers) : IDisposable
{
    private const int Page = 4096;

    private readonly nuint _base = baseImage is null ? 0 : NativePages.Map((ulong)buffers.PieceBytes);
    private readonly BlockingCollection<WriteItem> _items = [];
    private int _pending;

    /// <summary>Whether nothing waits to be written.</summary>
    public bool IsIdle => Volatile.Read(ref _pending) == 0;

    /// <summary>Hands a buffer over. One of which nothing is to be written goes back at once.</summary>
    public void Add(WriteItem item)
    {
        if (item.Parts.Count == 0)
        {
            buffers.Return(item.Buffer);
            snapshot.Signal();
            return;
        }

        Interlocked.Increment(ref _pending);
        _items.Add(item);
    }

    public void Complete() => _items.CompleteAdding();

    public void Dispose()
    {
        _items.Dispose();
        if (_base != 0)
        {
            NativePages.Unmap(_base, (ulong)buffers.PieceBytes);
        }
    }

    /// <summary>All of its work, on a thread of its own.</summary>
    public void Run()
    {
        using FdLease lease = output.Lease();
        foreach (WriteItem item in _items.GetConsumingEnumerable())
        {
            if (snapshot.Failure is null)
            {
                Write(lease, item);
            }

            buffers.Return(item.Buffer);
            Interlocked.Decrement(ref _pending);
            snapshot.Signal();
        }
    }

    private void Write(FdLease lease, WriteItem item)
    {
        foreach ((int offset, int length, long fileOffset) in item.Parts)
        {
            if (baseImage is null ? !TryWrite(lease, item.Buffer + (nuint)offset, length, fileOffset) : !TryWriteDifferent(lease, item.Buffer + (nuint)offset, length, fileOffset))
            {
                return;
            }
        }
    }

    // Only what the base has otherwise.
    private bool TryWriteDifferent(FdLease lease, nuint buffer, int length, long fileOffset)
    {
        if (!SourceReader.TryFetch(snapshot, baseImage!, fileOffset, length, _base))
        {
            return false;
        }

        int begin = 0;
        for (int at = 0; at <= length; at += Page)
        {
            if (at < length && !NativePages.AsSpan(buffer + (nuint)at, Page).SequenceEqual(NativePages.AsSpan(_base + (nuint)at, Page)))
            {
                continue;
            }

            if (at > begin && !TryWrite(lease, buffer + (nuint)begin, at - begin, fileOffset + begin))
            {
                return false;
            }

            begin = at + Page;
        }

        return true;
    }

    private bool TryWrite(FdLease lease, nuint buffer, int length, long fileOffset)
    {
        int done = 0;
        while (done < length)
        {
            Errno errno = FileIo.Write(lease, buffer + (nuint)done, length - done, fileOffset + done, out int written);
            if (errno != Errno.OK || written == 0)
            {
                errno = errno == Errno.OK ? Errno.EIO : errno;
                snapshot.Fail(EngineErrorKind.Kernel, errno, $"the image cannot be written at offset {fileOffset + done}: {errno.Describe()}");
                return false;
            }

            done += written;
            snapshot.Progress.Written(written);
        }

        return true;
    }
}
