using UffdManager.Engine.Loops;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Reads every page once, in the order of addresses, but those first that somebody waits to write; on a thread of its own. It reads the client's memory, so a
/// page that is missing there after all faults, and is served like any other: never on a fault loop.
/// </summary>
internal sealed class SnapshotReader
{
    /// <summary>Bytes of a buffer.</summary>
    public const int PieceBytes = 256 * 1024;

    // Claimed and read at a time, some 20 us: what a writer may have to wait for besides its own page. A page of the client's may be larger.
    private const ulong ClaimBytes = 64 * 1024;

    private const int Page = 4096;

    // So far pages that were saved out of their turn are looked for at a time.
    private const ulong Look = 1UL << 30;

    private readonly Snapshot _snapshot;
    private readonly FaultLoop _loop;
    private readonly ClientMemory _memory;
    private readonly bool _hasBase;
    private readonly SnapshotBuffers _buffers;
    private readonly SnapshotWriter _writer;
    private readonly SourceReader _sources;
    private readonly UrgentReader _urgent;
    private readonly List<SnapshotRun> _plan = [];
    private int _next;
    private ulong _cursor;

    public SnapshotReader(Snapshot snapshot, ClientMemory memory, bool hasBase, SnapshotBuffers buffers, SnapshotWriter writer, SourceReader sources)
    {
        _snapshot = snapshot;
        _loop = snapshot.Session.Loop;
        _memory = memory;
        _hasBase = hasBase;
        _buffers = buffers;
        _writer = writer;
        _sources = sources;
        _urgent = new UrgentReader(snapshot, memory, hasBase, buffers, writer);
    }

    /// <summary>All of its work, on a thread of its own.</summary>
    public void Run()
    {
        try
        {
            while (_snapshot.Failure is null && (_urgent.Save(_cursor) || CopyNext()))
            {
            }

            if (_snapshot.Failure is null)
            {
                // What is left behind the last run was saved out of its turn.
                Publish(_snapshot.Regions.End);
                TakeLast();
                _snapshot.Progress.Done(_snapshot.Progress.TotalBytes);
            }
        }
        catch (Exception failure) when (failure is SyscallException or AggregateException or ObjectDisposedException)
        {
            _snapshot.Fail(EngineErrorKind.State, Errno.EIO, failure.GetBaseException() is ObjectDisposedException ? "the manager stops" : failure.Message);
        }
        finally
        {
            _urgent.Submit();
            _sources.Complete();
            DropPlan();
        }
    }

    // From here on the loop saves nothing more.
    private void TakeLast()
    {
        LoopCommand<bool> close = new(_ =>
        {
            _snapshot.Saver.Close();
            return true;
        });
        _loop.Post(close);
        _ = close.Task.GetAwaiter().GetResult();
        while (!_urgent.TakeSaved(int.MaxValue))
        {
            _snapshot.WaitThrottled(hasUrgentBuffer: false);
        }
    }

    // The next pages in their turn; false when all have been read.
    private bool CopyNext()
    {
        if (_next >= _plan.Count && !TryPlan())
        {
            return false;
        }

        SnapshotRun run = _plan[_next];
        ulong start = Math.Max(run.Start, _cursor);

        // What was saved out of its turn is done, whatever has become of the page since.
        ulong most = run.Kind == SnapshotRunKind.Memory ? (ulong)_buffers.PieceBytes : Look;
        ulong end = _snapshot.Claims.EndOfRun(run.Region, start, Math.Min(run.End, start + most), out bool isSaved);
        if (isSaved)
        {
            return Advance(run, end);
        }

        switch (run.Kind)
        {
            case SnapshotRunKind.Poisoned:
                _snapshot.Fail(EngineErrorKind.Source, Errno.EIO, $"0x{start:x} is poisoned: its contents could not be had");
                return true;
            case SnapshotRunKind.Memory:
                return CopyMemory(run, start, end);
            default:
                return CopyAbsent(run, start, end);
        }
    }

    // Nothing is known to be there. What is all the same (from before the range was registered, or filled since the instant) is read from there.
    private bool CopyAbsent(SnapshotRun run, ulong start, ulong end)
    {
        bool isPresent = run.Region.IsReadThrough
            ? _memory.TryFindReadable(run.Region, start, end, out ulong from, out ulong to)
            : _memory.TryFindPresent(run.Region, start, end, out from, out to);
        if (isPresent && from == start)
        {
            return CopyMemory(run, start, to);
        }

        ulong stop = isPresent || run.Region.IsReadThrough ? from : end;
        if (run.Kind == SnapshotRunKind.Untouched)
        {
            return CopyZeros(run, start, stop);
        }

        // What only the source has does not change, whatever the client writes: nobody waits for it.
        if (!_sources.TryAdd(run.Source!, run.SourceOffset + (long)(start - run.Start), (long)(stop - start), run.Region.OffsetOf(start)))
        {
            _snapshot.WaitThrottled(hasUrgentBuffer: true);
            return true;
        }

        return Advance(run, stop);
    }

    private bool CopyZeros(SnapshotRun run, ulong start, ulong stop)
    {
        if (!_hasBase)
        {
            return Advance(run, stop);
        }

        // What the base has there, the diff has to cover with zeros.
        ulong end = Math.Min(stop, start + (ulong)_buffers.PieceBytes);
        nuint buffer = TakeBuffer();
        if (buffer == 0)
        {
            return true;
        }

        NativePages.Clear(buffer, (nuint)(end - start));
        WriteItem item = new(buffer);
        item.AddPages(0, (int)(end - start), run.Region.OffsetOf(start), _hasBase);
        _writer.Add(item);
        return Advance(run, end);
    }

    private bool CopyMemory(SnapshotRun run, ulong start, ulong stop)
    {
        nuint buffer = TakeBuffer();
        if (buffer == 0)
        {
            return true;
        }

        // Claimed, a page is held until it has been read: so not before there is a buffer, few at a time, and none when somebody waits to write. What the loop has saved meanwhile is left out.
        WriteItem item = new(buffer);
        ulong last = Math.Min(stop, start + (ulong)_buffers.PieceBytes);
        ulong cursor = start;
        bool goesOn = true;
        while (goesOn && cursor < last)
        {
            ulong end = _snapshot.Claims.ClaimUpTo(run.Region, cursor, Math.Min(last, cursor + Math.Max(ClaimBytes, run.Region.PageBytes)));
            int length = (int)(end - cursor);
            int at = (int)(cursor - start);
            goesOn = length > 0 && _memory.TryRead(run.Region, cursor, length, buffer + (nuint)at);
            if (goesOn)
            {
                item.AddPages(at, length, run.Region.OffsetOf(cursor), _hasBase);
                cursor = end;
                goesOn = _snapshot.Urgent.IsEmpty;
            }
        }

        _writer.Add(item);
        return cursor == start || Advance(run, cursor);
    }

    // 0 when a writer waits, who comes first, or it is all over.
    private nuint TakeBuffer()
    {
        nuint buffer = _buffers.TryTake(isUrgent: false);
        if (buffer == 0)
        {
            // What was saved out of its turn stays with us: the file is busy, and the rest of that buffer is for pages to come.
            _snapshot.WaitThrottled(hasUrgentBuffer: true);
        }

        return buffer;
    }

    private bool Advance(SnapshotRun run, ulong end)
    {
        _cursor = end;
        if (end >= run.End)
        {
            _next++;
        }

        Publish(end);
        _snapshot.Progress.Done(run.Region.PageIndexOf(end) * Page);
        return true;
    }

    private void Publish(ulong turn)
    {
        if (_snapshot.Publish(turn))
        {
            _loop.Post(new ReleaseCommand(_snapshot));
        }
    }

    private bool TryPlan()
    {
        DropPlan();
        if (_snapshot.Regions.End <= _cursor)
        {
            return false;
        }

        LoopCommand<List<SnapshotRun>> command = new(_ => FaultLoop.Plan(_snapshot, _cursor));
        _loop.Post(command);
        _plan.AddRange(command.Task.GetAwaiter().GetResult());
        return _plan.Count > 0;
    }

    private void DropPlan()
    {
        foreach (SnapshotRun run in _plan)
        {
            run.Source?.Dispose();
        }

        _plan.Clear();
        _next = 0;
    }
}
