using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>The threads that bring a snapshot into its file, and what they share. The last one that ends gives it back.</summary>
#pragma warning disable CA1001 // Nobody outlives its threads: the last one disposes of everything.
internal sealed class SnapshotCopy
#pragma warning restore CA1001
{
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Snapshot _snapshot;
    private readonly SnapshotBuffers _buffers;
    private readonly SnapshotWriter _writer;
    private readonly SourceReader _sources;
    private readonly SnapshotReader _reader;
    private int _running = 3;

    private SnapshotCopy(Snapshot snapshot, SnapshotRequest request, SafeFile? memory)
    {
        bool hasBase = request.Base is not null;
        _snapshot = snapshot;
        int piece = (int)Math.Max(SnapshotReader.PieceBytes, (long)snapshot.Regions.Max(region => region.PageBytes));
        _buffers = new SnapshotBuffers(request.BytesForCopying(snapshot.Lifted.Bytes), piece);
        try
        {
            _writer = new SnapshotWriter(snapshot, request.Output, request.Base, _buffers);
            _sources = new SourceReader(snapshot, _buffers, _writer, hasBase);
            _reader = new SnapshotReader(snapshot, new ClientMemory(snapshot, memory), hasBase, _buffers, _writer, _sources);
        }
        catch
        {
            _sources?.Dispose();
            _writer?.Dispose();
            _buffers.Dispose();
            throw;
        }
    }

    /// <summary>Begins to copy.</summary>
    /// <returns>Completes, without ever failing, when no thread of it is left. What goes wrong ends the snapshot.</returns>
    public static Task Start(Snapshot snapshot, SnapshotRequest request, SafeFile? memory)
    {
        FrozenLayout layout = snapshot.LayOut();
        if (request.Base is { } baseImage && !IsImageOf(baseImage, layout))
        {
            snapshot.Fail(EngineErrorKind.Invalid, Errno.EINVAL, $"{baseImage.Description} has {baseImage.Length} bytes and the image of the session has {layout.End}: it is no image of it");
            return Task.CompletedTask;
        }

        try
        {
            Memfd.Truncate(request.Output, (long)Pages(request.Base?.Length ?? layout.Bytes));
            SnapshotCopy copy = new(snapshot, request, memory);
            copy.StartThreads();
            return copy._over.Task;
        }
        catch (SyscallException failure)
        {
            snapshot.Fail(EngineErrorKind.Kernel, failure.Errno, failure.Message);
            return Task.CompletedTask;
        }
    }

    // A source may go on behind what the client shows of it; regions one behind the other are all that there is.
    private static bool IsImageOf(PageSource baseImage, FrozenLayout layout) => layout.Layout == SnapshotLayout.Source
        ? Pages(baseImage.Length) >= (ulong)layout.End
        : Pages(baseImage.Length) == (ulong)layout.End;

    private static ulong Pages(long bytes) => PageSize.AlignUp((ulong)bytes, (ulong)PageSize.Base);

    // One that cannot be started leaves nobody who waits for it.
    private void StartThreads()
    {
        int started = 0;
        try
        {
            foreach ((string name, Action run) in ((string, Action)[])[("uffd-snap-write", _writer.Run), ("uffd-snap-fetch", _sources.Run), ("uffd-snap-read", _reader.Run)])
            {
                _ = EngineThread.Start(name, () =>
                {
                    run();
                    Leave();
                });
                started++;
            }
        }
        catch (Exception failure) when (failure is OutOfMemoryException or ThreadStartException)
        {
            _snapshot.Fail(EngineErrorKind.Limit, Errno.EAGAIN, "no further thread can be had");
            _sources.Complete();
            _writer.Complete();
            for (; started < 3; started++)
            {
                Leave();
            }
        }
    }

    private void Leave()
    {
        if (Interlocked.Decrement(ref _running) > 0)
        {
            return;
        }

        _sources.Dispose();
        _writer.Dispose();
        _buffers.Dispose();
        _snapshot.Progress.Copied(MonotonicClock.NowNanoseconds - _snapshot.TakenAt);
        _over.SetResult();
    }
}
