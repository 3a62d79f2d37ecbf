using UffdManager.Engine.Loops;
using UffdManager.Linux;

namespace UffdManager.Engine.Snapshots;

/// <summary>What the client of a snapshot has in its memory. A page that is missing there after all faults, and is served like any other: never on a fault loop.</summary>
/// <param name="snapshot">Whose.</param>
/// <param name="memory">/proc/PID/mem; null where that cannot be had. Stays the caller's.</param>
internal sealed class ClientMemory(Snapshot snapshot, SafeFile? memory)
{
    private const long EventPatience = 5_000_000_000;

    // Pages that are tried one by one before the reader looks at what else is to be done: a microsecond each.
    private const ulong MostProbes = 256;

    // A client that changes its address space all the time is not waited for without end.
    private const int MostTries = 64;

    /// <summary>The first pages of a range that are there, whatever is known of them.</summary>
    public bool TryFindPresent(FrozenRegion region, ulong start, ulong end, out ulong from, out ulong to) =>
        TryFind(PageCategories.Present | PageCategories.Swapped, region, start, end, out from, out to);

    /// <summary>
    /// The first pages of a range that can be read, where pages can come without a fault, so that its page tables do not tell what is there. What is not there is not asked for: it would be
    /// brought for us, into a client that has never touched it, and if it could not be had its policy's verdict would fall upon that client.
    /// </summary>
    /// <param name="region">Whose; what is missing there is reported.</param>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after.</param>
    /// <param name="from">Where they begin; if none of those looked at can be read, the end of those.</param>
    /// <param name="to">First byte after them.</param>
    public bool TryFindReadable(FrozenRegion region, ulong start, ulong end, out ulong from, out ulong to)
    {
        (from, to) = (start, end);
        if (memory is null)
        {
            return true;
        }

        ulong last = Math.Min(end, start + (MostProbes * region.PageBytes));
        while (from < last && !IsReadable(region, from))
        {
            from += region.PageBytes;
        }

        to = from;
        while (to < last && IsReadable(region, to))
        {
            to += region.PageBytes;
        }

        return to > from;
    }

    /// <summary>Reads; what cannot be read ends the snapshot.</summary>
    public bool TryRead(FrozenRegion region, ulong start, int length, nuint buffer)
    {
        using FdLease lease = memory?.Lease() ?? default;
        ulong end = start + (ulong)length;
        int done = 0;
        bool isFilled = false;
        ulong mapped = ulong.MaxValue;
        while (done < length)
        {
            ulong at = start + (ulong)done;
            Errno errno = Read(lease, at, buffer + (nuint)done, length - done, out int read);
            bool isRefused = errno == Errno.EFAULT && memory is not null;
            ulong missing = isRefused ? EndOfMissing(region, at, end) : at;
            if (isRefused && missing == at && mapped != at)
            {
                mapped = at;
                continue;
            }

            ulong zeros = missing > at ? ZerosAt(at, missing) : 0;
            if (zeros > 0)
            {
                NativePages.Clear(buffer + (nuint)done, (nuint)zeros);
                done += (int)zeros;
                continue;
            }

            if (isRefused && !isFilled)
            {
                isFilled = true;
                Fill(at, end);
                continue;
            }

            if (errno != Errno.OK || read == 0)
            {
                AwaitEvents();
                snapshot.Fail(
                    EngineErrorKind.State,
                    errno == Errno.OK ? Errno.ESRCH : errno,
                    errno is Errno.OK or Errno.ESRCH ? "the client is gone" : $"0x{at:x} of region 0x{region.Start:x} cannot be read: {errno.Describe()}");
                return false;
            }

            done += read;
        }

        return true;
    }

    // Looked at before each read: what has been unmapped meanwhile is not read any more (ClientReads).
    private Errno Read(FdLease lease, ulong address, nuint buffer, int length, out int read)
    {
        read = 0;
        snapshot.Reads.Enter();
        try
        {
            if (snapshot.Failure is not null)
            {
                return Errno.ECANCELED;
            }

            Errno errno = memory is null ? Errno.EIO : FileIo.Read(lease, buffer, length, (long)address, out read);
            return errno == Errno.EIO ? ReadByNumber(address, NativePages.AsSpan(buffer, memory is null ? length : PageSize.Base), out read) : errno;
        }
        finally
        {
            snapshot.Reads.Leave();
        }
    }

    private bool TryFind(PageCategories categories, FrozenRegion region, ulong start, ulong end, out ulong from, out ulong to)
    {
        Span<PageRegion> found = stackalloc PageRegion[1];
        (from, to) = (end, end);
        PagemapScanRequest request = new()
        {
            Start = start,
            End = end,
            AnyOf = categories,
            Returned = categories,
        };
        Errno errno = PagemapScan.Scan(snapshot.Presence.Pagemap!, request, found, out int count, out _);
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

    // Without waiting: where a fault would be reported as missing, the kernel says EIO. It says so of a page that is there and cannot be read, too.
    private bool IsReadable(FrozenRegion region, ulong page)
    {
        Errno errno = Errno.OK;
        for (int tried = 0; tried < MostTries && !TryAsk(region, page, out errno); tried++)
        {
            AwaitEvents();
        }

        if (errno == Errno.EAGAIN)
        {
            snapshot.Fail(EngineErrorKind.Kernel, errno, "the client's address space keeps changing");
        }

        // What is there and failed is left to who reads it. What is not mapped or registered any more, the kernel refuses to let go of.
        return errno switch
        {
            Errno.EFAULT or Errno.ENOENT or Errno.ESRCH => false,
            Errno.EINVAL => TryFind(PageCategories.Present, region, page, page + region.PageBytes, out _, out _),
            _ => true,
        };
    }

    // Whether a page is there: OK if it can be read; else what the kernel says to UFFDIO_CONTINUE, which maps, protected, what the object has there (be it in swap) and fills nothing. EFAULT: it has nothing. EIO: it has
    // something that cannot be had. EINVAL: this kernel cannot tell (before 6.4, or memory that has no object). False while a change of the address space is under way.
    private bool TryAsk(FrozenRegion region, ulong page, out Errno errno)
    {
        Span<byte> first = stackalloc byte[1];
        snapshot.Reads.Enter();
        try
        {
            errno = snapshot.Failure is null ? FileIo.Read(memory!, first, (long)page, out _) : Errno.OK;
            if (errno == Errno.EIO)
            {
                using FdLease uffd = snapshot.Session.Uffd.Lease();
                errno = Userfaultfd.Continue(uffd, page, region.PageBytes, UffdCopyModes.WriteProtect).Errno;
            }
            else
            {
                errno = Errno.OK;
            }
        }
        finally
        {
            snapshot.Reads.Leave();
        }

        return errno != Errno.EAGAIN;
    }

    // What an object has may be missing in its client's page table alone, whatever is known of the page: that is mapped by asking for it.
    private ulong EndOfMissing(FrozenRegion region, ulong start, ulong end)
    {
        if (!region.IsReadThrough)
        {
            return end;
        }

        ulong page = PageSize.AlignDown(start, region.PageBytes);
        _ = TryFindReadable(region, page, end, out ulong from, out _);
        return from == page ? start : Math.Min(from, end);
    }

    // A client may protect by mprotect what it has given back, or never touched, so that nobody can be asked to fill it; and need not.
    private ulong ZerosAt(ulong start, ulong end)
    {
        LoopCommand<ulong> command = new(loop => loop.ZerosAt(snapshot.Session, start, end));
        snapshot.Session.Loop.Post(command);
        return command.Task.GetAwaiter().GetResult();
    }

    // Who reads a missing page as the client would has it filled, but not where the client itself may not read at the moment (PROT_NONE). /proc/PID/mem disregards that, as soon as the page is there.
    private void Fill(ulong start, ulong end)
    {
        TaskCompletionSource<EngineResult> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        LoopCommand<EngineResult> command = new(loop => loop.BeginPopulate(snapshot.Session, start, end - start, completion));
        snapshot.Session.Loop.Post(command);
        if (command.Task.GetAwaiter().GetResult().Error is null)
        {
            _ = Task.WaitAny(completion.Task, snapshot.Failed);
        }
    }

    // What is not there any more has been unmapped or moved, and an event that says so may still be to come. The loop takes it in, and ends the snapshot for that reason; the errno is for
    // what it knows nothing of.
    private void AwaitEvents()
    {
        RetryCommand<EngineResult> command = new(
            (loop, isLast) => snapshot.IsOver || isLast || loop.HasTakenEventsIn(snapshot.Session) ? EngineResult.Success : null,
            EventPatience);
        snapshot.Session.Loop.Post(command);
        _ = command.Task.GetAwaiter().GetResult();
    }

    // /proc/PID/mem does not wait for a page that is missing, and cannot be opened by everybody who may look into the process; process_vm_readv does and can. It
    // goes by the number of the process, which may be another's by the time, or run another program: both is asked afterwards.
    private Errno ReadByNumber(ulong page, Span<byte> into, out int read)
    {
        Errno errno = ProcessMemory.ReadRemote(snapshot.Session.Pid, page, into, out read);
        using FdLease uffd = snapshot.Session.Uffd.Lease();
        return ProcessInfo.TryReadStartTime(snapshot.Session.Pid, out ulong startTime) && startTime == snapshot.Session.ProcessStartTime && !Userfaultfd.IsOwnerGone(uffd)
            ? errno
            : Errno.ESRCH;
    }
}
