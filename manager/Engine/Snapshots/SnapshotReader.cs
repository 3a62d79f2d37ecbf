using UffdManager.Engine.Loops;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>
/// Reads every page once, in the order of addresses, but those first that somebody waits to write; on a thread of its own. It reads the client's memory, so a
/// page that is missing there after all faults, and is served like any other: never on a fault loop.
/// </summary>
internal sealed class SnapshotReader
{
    /// <summary>Bytes read at a time: what a writer may have to wait for besides its own page.</summary>
    public const int PieceBytes = 256 * 1024;

    private const int Page = 4096;
    private const int UrgentPerBatch = 64;

    private readonly Snapshot _snapshot;
    private readonly FaultLoop _loop;
    private readonly SafeFile? _memory;
    private readonly bool _hasBase;
    private readonly SnapshotBuffers _buffers;
    private readonly SnapshotWriter _writer;
    private readonly SourceReader _sources;
    private readonly nuint _saved;
    private readonly ulong _savedBytes;
    private readonly List<SnapshotRun> _plan = [];
    private WriteItem? _urgentItem;
    private ulong _postponed;
    private int _next;
    private ulong _cursor;

    public SnapshotReader(Snapshot snapshot, SafeFile? memory, bool hasBase, SnapshotBuffers buffers, SnapshotWriter writer, SourceReader sources)
    {
        _snapshot = snapshot;
        _loop = snapshot.Session.Loop;
        _memory = memory;
        _hasBase = hasBase;
        _buffers = buffers;
        _writer = writer;
        _sources = sources;

        // A byte for each page, of which the system gives those that are used.
        _savedBytes = PageSize.AlignUp((ulong)(snapshot.Progress.TotalBytes / Page), Page);
        _saved = NativePages.Map(_savedBytes);
    }

    public Thread Start() => EngineThread.Start("uffd-snap-read", Run);

    private void Run()
    {
        try
        {
            while (_snapshot.Failure is null && (SaveUrgent() || CopyNext()))
            {
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
            NativePages.Unmap(_saved, _savedBytes);
        }
    }

    // Pages that somebody waits to write; false when nobody does.
    private bool SaveUrgent()
    {
        int saved = 0;
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
            if (_snapshot.Find(page) is not FrozenRegion region || page < _cursor || SavedFlags(region, page, region.PageBytes)[0] != 0)
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

            Save(region, page);
            saved++;
        }

        // What was saved waits for company only as long as the file is busy anyway.
        if (_urgentItem is not null && _writer.IsIdle)
        {
            Submit(ref _urgentItem);
        }

        return saved > 0;
    }

    private void Save(FrozenRegion region, ulong page)
    {
        WriteItem item = _urgentItem!;
        int length = (int)region.PageBytes;
        int at = item.Used;
        if (!TryReadMemory(region, page, length, item.Buffer + (nuint)at))
        {
            return;
        }

        SavedFlags(region, page, region.PageBytes).Fill(1);
        Emit(item, at, length, region.OffsetOf(page));
        item.Used += length;
        _snapshot.Progress.Saved(1);
        _loop.Post(new ReleaseCommand(_snapshot, region, page, page + region.PageBytes, isInTurn: false));
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
        ulong end = Math.Min(run.End, start + (ulong)_buffers.PieceBytes);
        switch (run.Kind)
        {
            case SnapshotRunKind.Poisoned:
                _snapshot.Fail(EngineErrorKind.Source, Errno.EIO, $"0x{start:x} is poisoned: its contents could not be had");
                return true;
            case SnapshotRunKind.Memory:
                end = EndOfUnsaved(run.Region, start, end, out bool isSaved);
                return isSaved || TryCopy(run, start, end) ? Advance(run, start, end) : true;
            case SnapshotRunKind.Source or SnapshotRunKind.Untouched:
                return CopyAbsent(run, start);
            default:
                return CopyZeros(run, start, run.End);
        }
    }

    // Nothing is known to be there. What is all the same (from before the range was registered, or filled since the instant) is read from there.
    private bool CopyAbsent(SnapshotRun run, ulong start)
    {
        bool isPresent = TryFindPresent(run.Region, start, run.End, out ulong from, out ulong to);
        if (isPresent && from == start)
        {
            ulong end = EndOfUnsaved(run.Region, start, Math.Min(to, start + (ulong)_buffers.PieceBytes), out bool isSaved);
            return isSaved || TryCopy(run, start, end) ? Advance(run, start, end) : true;
        }

        ulong stop = isPresent ? from : run.End;
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

        return Advance(run, start, stop);
    }

    private bool CopyZeros(SnapshotRun run, ulong start, ulong stop)
    {
        if (!_hasBase)
        {
            return Advance(run, start, stop);
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
        return Advance(run, start, end);
    }

    private bool TryCopy(SnapshotRun run, ulong start, ulong end)
    {
        nuint buffer = TakeBuffer();
        if (buffer == 0)
        {
            return false;
        }

        int length = (int)(end - start);
        WriteItem? item = new(buffer);
        bool isRead = TryReadMemory(run.Region, start, length, buffer);
        if (isRead)
        {
            Emit(item, 0, length, run.Region.OffsetOf(start));
        }

        Submit(ref item);
        return isRead;
    }

    // 0 when a writer waits, who comes first, or it is all over.
    private nuint TakeBuffer()
    {
        nuint buffer = _buffers.TryTake(isUrgent: false);
        if (buffer == 0)
        {
            Submit(ref _urgentItem);
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

    private bool Advance(SnapshotRun run, ulong start, ulong end)
    {
        _cursor = end;
        if (end >= run.End)
        {
            _next++;
        }

        _loop.Post(new ReleaseCommand(_snapshot, run.Region, start, end, isInTurn: true));
        _snapshot.Progress.Done(run.Region.OffsetOf(end));
        return true;
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

    // Up to the first page that was saved out of its turn; or, when the first one was, the end of those.
    private ulong EndOfUnsaved(FrozenRegion region, ulong start, ulong end, out bool isSaved)
    {
        Span<byte> flags = SavedFlags(region, start, end - start);
        isSaved = flags[0] != 0;
        int differs = flags.IndexOfAnyExcept(flags[0]);
        return differs < 0 ? end : start + ((ulong)differs * Page);
    }

    private Span<byte> SavedFlags(FrozenRegion region, ulong start, ulong length) =>
        NativePages.AsSpan(_saved + (nuint)(region.OffsetOf(start) / Page), (int)(length / Page));

    private bool TryFindPresent(FrozenRegion region, ulong start, ulong end, out ulong from, out ulong to)
    {
        Span<PageRegion> found = stackalloc PageRegion[1];
        (from, to) = (end, end);
        PagemapScanRequest request = new()
        {
            Start = start,
            End = end,
            AnyOf = PageCategories.Present | PageCategories.Swapped,
            Returned = PageCategories.Present | PageCategories.Swapped,
        };
        Errno errno = PagemapScan.Scan(_snapshot.Presence.Pagemap!, request, found, out int count, out _);
        if (errno != Errno.OK)
        {
            // Before 6.7: then the client is asked for everything.
            from = start;
            return true;
        }

        if (count > 0)
        {
            from = Math.Max(start, PageSize.AlignDown(found[0].Start, region.PageBytes));
            to = Math.Min(end, PageSize.AlignUp(found[0].End, region.PageBytes));
        }

        return count > 0;
    }

    private bool TryReadMemory(FrozenRegion region, ulong start, int length, nuint buffer)
    {
        using FdLease lease = _memory?.Lease() ?? default;
        int done = 0;
        while (done < length)
        {
            int read = 0;
            Errno errno = _memory is null ? Errno.EIO : FileIo.Read(lease, buffer + (nuint)done, length - done, (long)start + done, out read);
            if (errno == Errno.EIO)
            {
                errno = ReadByNumber(start + (ulong)done, NativePages.AsSpan(buffer + (nuint)done, _memory is null ? length - done : Page), out read);
            }

            if (errno != Errno.OK || read == 0)
            {
                _snapshot.Fail(
                    EngineErrorKind.State,
                    errno == Errno.OK ? Errno.ESRCH : errno,
                    errno is Errno.OK or Errno.ESRCH ? "the client is gone" : $"0x{start + (ulong)done:x} of region 0x{region.Start:x} cannot be read: {errno.Describe()}");
                return false;
            }

            done += read;
        }

        return true;
    }

    // /proc/PID/mem does not wait for a page that is missing, and cannot be opened by everybody who may look into the process; process_vm_readv does and can. It
    // goes by the number of the process, which may be another's by the time: whose it was is asked afterwards.
    private Errno ReadByNumber(ulong page, Span<byte> into, out int read)
    {
        Errno errno = ProcessMemory.ReadRemote(_snapshot.Session.Pid, page, into, out read);
        return ProcessInfo.TryReadStartTime(_snapshot.Session.Pid, out ulong startTime) && startTime == _snapshot.Session.ProcessStartTime ? errno : Errno.ESRCH;
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
