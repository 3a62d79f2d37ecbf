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
    private const int UrgentPerBatch = 64;

    // So far pages that were saved out of their turn are looked for at a time.
    private const ulong Look = 1UL << 30;

    private readonly Snapshot _snapshot;
    private readonly FaultLoop _loop;
    private readonly ClientMemory _memory;
    private readonly bool _hasBase;
    private readonly SnapshotBuffers _buffers;
    private readonly SnapshotWriter _writer;
    private readonly SourceReader _sources;
    private readonly List<SnapshotRun> _plan = [];
    private WriteItem? _urgentItem;
    private ulong _postponed;
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
    }

    /// <summary>All of its work, on a thread of its own.</summary>
    public void Run()
    {
        try
        {
            while (_snapshot.Failure is null && (SaveUrgent() || CopyNext()))
            {
            }

            if (_snapshot.Failure is null)
            {
                // What is left behind the last run was saved out of its turn.
                Publish(_snapshot.Regions[^1].End);
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
            Submit(ref _urgentItem);
            _sources.Complete();
            DropPlan();
        }
    }

    // What the loop has saved, up to so many pages; false when no buffer is to be had for it.
    private bool TakeSaved(int most)
    {
        while (most > 0 && _snapshot.Failure is null && !_snapshot.Saver.IsEmpty)
        {
            if (_urgentItem is null && !TryOpenUrgent())
            {
                return false;
            }

            WriteItem item = _urgentItem!;
            int at = item.Used;
            if (at + Page > _buffers.PieceBytes)
            {
                Submit(ref _urgentItem);
            }
            else if (_snapshot.Saver.TryTake(out ulong page, item.Buffer + (nuint)at))
            {
                Emit(item, at, Page, _snapshot.Find(page)!.OffsetOf(page));
                item.Used += Page;
                most--;
            }
        }

        return true;
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
        while (!TakeSaved(int.MaxValue))
        {
            Wait(hasUrgentBuffer: false);
        }
    }

    // Pages that somebody waits to write; false when nobody does.
    private bool SaveUrgent()
    {
        int saved = 0;
        if (!TakeSaved(UrgentPerBatch))
        {
            Wait(hasUrgentBuffer: false);
            return true;
        }

        while (saved < UrgentPerBatch && _snapshot.Failure is null && (_postponed != 0 || !_snapshot.Urgent.IsEmpty))
        {
            if (_urgentItem is null && !TryOpenUrgent())
            {
                Wait(hasUrgentBuffer: false);
                return true;
            }

            ulong page = _postponed;
            if (page == 0)
            {
                _ = _snapshot.Urgent.TryTake(out page);
            }

            _postponed = 0;
            if (_snapshot.Find(page) is not FrozenRegion region || page < _cursor)
            {
                // It has been read, and the command that lets its writers go is on its way.
                continue;
            }

            if (_urgentItem!.Used + (int)region.PageBytes > _buffers.PieceBytes)
            {
                // Behind pages of another size. Another buffer may have to be waited for.
                _postponed = page;
                Submit(ref _urgentItem);
                continue;
            }

            if (_snapshot.Claims.TryClaim(region, page))
            {
                Save(region, page);
                saved++;
            }
        }

        // What was saved waits for company only as long as the file is busy anyway.
        if (_urgentItem is not null && _writer.IsIdle)
        {
            Submit(ref _urgentItem);
        }

        return saved > 0 || !_snapshot.Saver.IsEmpty;
    }

    private void Save(FrozenRegion region, ulong page)
    {
        WriteItem item = _urgentItem!;
        int length = (int)region.PageBytes;
        int at = item.Used;
        if (!_memory.TryRead(region, page, length, item.Buffer + (nuint)at))
        {
            return;
        }

        Emit(item, at, length, region.OffsetOf(page));
        item.Used += length;
        _snapshot.Progress.Saved(1);
        _loop.Post(new ReleasePageCommand(_snapshot, region, page));
        if (item.Used + length > _buffers.PieceBytes)
        {
            Submit(ref _urgentItem);
        }
    }

    private bool TryOpenUrgent()
    {
        nuint buffer = _buffers.TryTake(isUrgent: true);
        _urgentItem = buffer == 0 ? null : new WriteItem(buffer);
        return buffer != 0;
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
            Wait(hasUrgentBuffer: true);
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
        WriteItem? item = new(buffer);
        Emit(item, 0, (int)(end - start), run.Region.OffsetOf(start));
        Submit(ref item);
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
        WriteItem? item = new(buffer);
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
                Emit(item, at, length, run.Region.OffsetOf(cursor));
                cursor = end;
                goesOn = _snapshot.Urgent.IsEmpty;
            }
        }

        Submit(ref item);
        return cursor == start || Advance(run, cursor);
    }

    // 0 when a writer waits, who comes first, or it is all over.
    private nuint TakeBuffer()
    {
        nuint buffer = _buffers.TryTake(isUrgent: false);
        if (buffer == 0)
        {
            // What was saved out of its turn stays with us: the file is busy, and the rest of that buffer is for pages to come.
            Wait(hasUrgentBuffer: true);
        }

        return buffer;
    }

    private void Wait(bool hasUrgentBuffer)
    {
        long began = MonotonicClock.NowNanoseconds;
        _snapshot.Wait(hasUrgentBuffer);
        _snapshot.Progress.Throttled(MonotonicClock.NowNanoseconds - began);
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
        if (_snapshot.Regions[^1].End <= _cursor)
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

    private void Emit(WriteItem item, int at, int length, long fileOffset) => item.AddPages(at, length, fileOffset, _hasBase);

    private void Submit(ref WriteItem? item)
    {
        if (item is null)
        {
            return;
        }

        if (item.Parts.Count == 0)
        {
            _buffers.Return(item.Buffer);
        }
        else
        {
            _writer.Add(item);
        }

        item = null;
    }
}
