using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Commands: what the session's owner asked for, carried out between two batches of faults.</content>
internal sealed partial class FaultLoop
{
    // Prefetches of one session under way, over all the connections that asked for them.
    private const int MaximumJobs = 64;

    private static readonly EngineResult s_over = new(new EngineError(EngineErrorKind.State, Errno.ESRCH, "the session is over"));

    /// <summary>
    /// Registers a range; null to be tried again.
    /// </summary>
    /// <remarks>
    /// An UNMAP event comes after its range has become free: thread A unmaps, the range is mapped anew by thread B, B's registration
    /// arrives here, and only then is A's event read, which must not take B's region with it. A's munmap had raised mmap_changing
    /// before it freed the range; so once that is seen low after the registration has arrived, no event for an earlier owner of the range
    /// is outstanding.
    /// </remarks>
    public EngineResult? TryRegister(Session session, RegisterRequest request, bool last)
    {
        if (session.State is SessionState.Ended or SessionState.Condemned || session.IsLetGo)
        {
            return s_over;
        }

        AwaitRanges(session);
        if (session.State == SessionState.Serving)
        {
            Pump(session);
            if (session.State != SessionState.Serving)
            {
                return s_over;
            }

            if (!last && Userfaultfd.IsChanging(session.Lease))
            {
                return null;
            }

            if (!last)
            {
                ForgetDisplaced(session);
            }
        }

        ulong end = request.Start + request.Length;
        if (FindConflict(session, request.Start, end) is RangeHolder holder)
        {
            session.Counters.ManagerConflicts++;
            _engine.Publish(new RangeConflict(_now, session, request.Start, request.Length, holder));
            return new EngineResult(new EngineError(EngineErrorKind.Conflict, Errno.EBUSY, RegisterChecks.ConflictText(request, holder), holder));
        }

        if (session.Reads is ClientReads reads && reads.Touch(request.Start, end))
        {
            if (reads.AreUnderWay && !last)
            {
                return null;
            }

            bool isSpoilt = IsSpoilt(reads, request, end);
            if (reads is { IsEmpty: true, IsOver: true })
            {
                session.Reads = null;
                reads.Dispose();
            }

            if (isSpoilt)
            {
                return new EngineResult(new EngineError(
                    EngineErrorKind.State,
                    Errno.EAGAIN,
                    $"0x{request.Start:x}+0x{request.Length:x} was mapped anew while a snapshot was taken, which may have put pages of zeros there: map it once more, and register it then; memory of a file has them in the file, where they are to be given back before (fallocate(2) with FALLOC_FL_PUNCH_HOLE, or MADV_REMOVE)"));
            }
        }

        return Register(session, request, end, last);
    }

    // Whether pages that are there may be nobody's. Told once: what is mapped there next is the client's own again.
    private static bool IsSpoilt(ClientReads reads, RegisterRequest request, ulong end)
    {
        if (request.Image is null && SourceOf(request).IsZero)
        {
            // As good as any; and what is there from here on is the client's.
            reads.Forget(request.Start, end);
            return false;
        }

        if (reads.AreUnderWay)
        {
            return true;
        }

        bool isSpoilt = reads.HavePages(request.Start, end);
        reads.Forget(request.Start, end);
        return isSpoilt;
    }

    public EngineResult Unregister(Session session, ulong start, ulong length)
    {
        if (session.State is SessionState.Ended or SessionState.Condemned)
        {
            return s_over;
        }

        ulong end = start + length;
        if (end < start || session.Regions.FindOverlap(start, end) is null)
        {
            return NotFound(start, length);
        }

        // Whatever happens from here on, the range is given up: a successor does the rest.
        session.Snapshot?.RangeChanges(start, end, "unregistered");
        session.Reads?.NoteGone(start, end);
        session.Ledger.Unregistering = (start, end);
        CrashPoints.Visit(CrashPoint.UnregisterRecorded);
        EngineResult result = UnregisterRecorded(session, start, end);
        session.Ledger.Unregistering = default;
        CheckRecorded(session);
        return result;
    }

    private EngineResult UnregisterRecorded(Session session, ulong start, ulong end)
    {
        CollectTouched(session, start, end);
        (ulong From, ulong To)[] pieces = [.. _touched.Select(region => (Math.Max(start, region.Start), Math.Min(end, region.End)))];
        foreach ((ulong from, ulong to) in pieces)
        {
            Errno errno = Userfaultfd.Unregister(session.Uffd, from, to - from);
            if (errno != Errno.OK)
            {
                return new EngineResult(new EngineError(EngineErrorKind.Kernel, errno, $"UFFDIO_UNREGISTER 0x{from:x}+0x{to - from:x}: {errno.Describe()}"));
            }

            CrashPoints.Visit(CrashPoint.UnregisterDone);
            ApplyUnmap(session, from, to);
        }

        return EngineResult.Success;
    }

    public EngineResult BeginPopulate(Session session, ulong start, ulong length, TaskCompletionSource<EngineResult> completion)
    {
        if (session.State != SessionState.Serving)
        {
            return s_over;
        }

        ulong end = start + length;
        if (end < start || session.Regions.FindOverlap(start, end) is not Region region)
        {
            return NotFound(start, length);
        }

        if (session.Jobs.Count >= MaximumJobs)
        {
            return new EngineResult(new EngineError(EngineErrorKind.Limit, Errno.EAGAIN, $"{MaximumJobs} ranges of this session are being prefetched already: wait for one"));
        }

        ulong from = PageSize.AlignDown(start, region.PageBytes);
        ulong last = session.Regions.All[^1].End;
        Add(new PopulateJob(session, from, PageSize.AlignUp(Math.Min(end, last), region.PageBytes), completion));
        return EngineResult.Success;
    }

    public EngineResult Wake(Session session, ulong start, ulong length)
    {
        if (session.State == SessionState.Adopting && start == 0 && length == 0)
        {
            BeginServing(session);
            return EngineResult.Success;
        }

        if (session.State != SessionState.Serving)
        {
            return s_over;
        }

        ulong end = length == 0 ? ulong.MaxValue : start + length;
        CollectTouched(session, start, end);
        foreach (Region region in _touched)
        {
            ulong from = PageSize.AlignDown(Math.Max(start, region.Start), region.PageBytes);
            ulong to = PageSize.AlignUp(Math.Min(end, region.End), region.PageBytes);
            _ = Userfaultfd.Wake(session.Lease, from, to - from);
        }

        return EngineResult.Success;
    }

    private EngineResult? Register(Session session, RegisterRequest request, ulong end, bool last)
    {
        TenantLimits limits = session.Tenant.Limits;
        TenantUsage usage = session.Tenant.Usage;
        if (!usage.TryAddRegion(limits.Regions))
        {
            return Limited(session, $"{limits.Regions} regions", "limits.regions");
        }

        if (!usage.TryAddRegisteredBytes((long)request.Length, limits.RegisteredBytes))
        {
            usage.ForceRegions(-1, 0);
            return Limited(session, $"{limits.RegisteredBytes} registered bytes", "limits.registeredBytes");
        }

        UffdRegisterModes modes = request.Modes;
        request = Tracked(session, request);
        PageSource source = SourceOf(request);
        if (Keep(session, request, source) is EngineError unkept)
        {
            return new EngineResult(unkept);
        }

        Region wanted = MakeRegion(request, source, (ulong)PageSize.Base, UffdIoctls.None);
        if (!session.Ledger.Record(wanted, RegionRecordState.Wanted))
        {
            usage.ForceRegions(-1, -(long)request.Length);
            wanted.Release();
            return new EngineResult(new EngineError(EngineErrorKind.Kernel, Errno.ENOMEM, "the manager has no memory to record the range"));
        }

        CrashPoints.Visit(CrashPoint.RegisterRecorded);
        EngineResult? result = RegisterWanted(session, request, modes, wanted, end, last);
        session.Ledger.Forget(wanted);
        wanted.Release();
        CheckRecorded(session);
        return result;
    }

    private EngineResult? RegisterWanted(Session session, RegisterRequest request, UffdRegisterModes wantedByClient, Region wanted, ulong end, bool last)
    {
        TenantUsage usage = session.Tenant.Usage;
        Errno errno = Userfaultfd.Register(session.Uffd, request.Start, request.Length, request.Modes, out UffdIoctls ioctls);
        if (errno == Errno.EINVAL && (request.Flags & RegionFlags.Tracked) != 0)
        {
            // Memory that cannot be protected is served as it would be without the tracking.
            request = request with { Modes = wantedByClient, Flags = request.Flags & ~RegionFlags.Tracked };
            errno = Userfaultfd.Register(session.Uffd, request.Start, request.Length, request.Modes, out ioctls);
        }

        CrashPoints.Visit(CrashPoint.RegisterDone);
        if (errno != Errno.OK)
        {
            usage.ForceRegions(-1, -(long)request.Length);
            return new EngineResult(errno == Errno.EBUSY ? Taken(session, request) : RegisterChecks.KernelRefused(request, errno));
        }

        ulong pageBytes = (ulong)PageSize.Base;
        if ((ioctls & UffdIoctls.ZeroPage) == 0 && !TryProbePageBytes(session, request.Start, out pageBytes))
        {
            _ = Userfaultfd.Unregister(session.Uffd, request.Start, request.Length);
            usage.ForceRegions(-1, -(long)request.Length);
            return last
                ? new EngineResult(new EngineError(EngineErrorKind.Kernel, Errno.EAGAIN, "the client's address space keeps changing, so that its page size cannot be asked for"))
                : null;
        }

        if (pageBytes > ScratchBytes || !PageSize.IsAligned(request.Start | request.Length | (ulong)request.SourceOffset, pageBytes))
        {
            _ = Userfaultfd.Unregister(session.Uffd, request.Start, request.Length);
            usage.ForceRegions(-1, -(long)request.Length);
            return new EngineResult(new EngineError(EngineErrorKind.Invalid, Errno.EINVAL, $"pages of {pageBytes} bytes need a range and an offset aligned to them, and 2 MiB is the largest size served"));
        }

        // Registering again what this session holds already replaces its policy and source.
        session.Snapshot?.RangeChanges(request.Start, end, "registered anew");
        ApplyUnmap(session, request.Start, end);
        Region region = MakeRegion(request, wanted.Source, pageBytes, ioctls);
        session.Regions.Add(region);
        NoteNewRange(session, region);
        BeginPrefetch(session, region);
        return new EngineResult(null, (ulong)ioctls);
    }

    // In a session that is tracked, a range that comes is.
    private static RegisterRequest Tracked(Session session, RegisterRequest request) =>
        session.IsTracking && (request.Flags & RegionFlags.Mailbox) == 0
            ? request with { Modes = request.Modes | UffdRegisterModes.WriteProtect, Flags = request.Flags | RegionFlags.Tracked }
            : request;

    // All of it is new since tracking began, whatever of it was there before it was registered.
    private void NoteNewRange(Session session, Region region)
    {
        if (region.IsTracked && !TryNoteDirty(session, region.Start, region.End))
        {
            Kill(session, region.Start, "the manager has no memory to note that a tracked range is new");
        }
    }

    private Region MakeRegion(RegisterRequest request, PageSource source, ulong pageBytes, UffdIoctls ioctls) => new()
    {
        Start = request.Start,
        End = request.Start + request.Length,
        PageBytes = pageBytes,
        Modes = request.Modes,
        Ioctls = ioctls,
        Flags = request.Flags,
        Policy = request.Policy,
        Source = source.AddReference(),
        Image = request.Image?.AddReference(),
        SourceOffset = request.SourceOffset,
        Generation = _engine.NextGeneration(),
    };

    // What a mailbox contains is made up on the spot: the policy's source, which it has no part in, must not make its pages look like
    // something that only that source has.
    private static PageSource SourceOf(RegisterRequest request) =>
        (request.Flags & RegionFlags.Mailbox) != 0 ? ZeroSource.Instance : request.Source ?? request.Policy.Source ?? ZeroSource.Instance;

    // The kernel refuses a fill of hugetlb memory that is not a multiple of its page with EINVAL; only a change of the address space comes
    // before that. False when such a change hides the answer.
    private static bool TryProbePageBytes(Session session, ulong address, out ulong size)
    {
        for (size = (ulong)PageSize.Base; size <= ScratchBytes; size *= 2)
        {
            Errno errno = Userfaultfd.ProbeFill(session.Lease, PageSize.AlignDown(address, size), size);
            if (errno == Errno.EAGAIN)
            {
                return false;
            }

            if (errno != Errno.EINVAL)
            {
                break;
            }
        }

        return true;
    }

    private static bool IsZeroOnly(Session session)
    {
        foreach (Region region in session.Regions.All)
        {
            if (!region.Source.IsZero || region.Image is not null)
            {
                return false;
            }
        }

        return true;
    }

    private static EngineResult Limited(Session session, string what, string key) =>
        new(new EngineError(EngineErrorKind.Limit, Errno.EDQUOT, $"tenant {session.Tenant.Name} has its {what}; unregister some, or raise {key}"));

    private static EngineResult NotFound(ulong start, ulong length, string mode = "") =>
        new(new EngineError(EngineErrorKind.NotFound, Errno.ENOENT, $"no region of this session lies in 0x{start:x}+0x{length:x}{mode}"));

    private static void ReleaseRegions(Session session)
    {
        session.Tenant.Usage.ForceRegions(-session.Regions.Count, -(long)session.Regions.Bytes);
        session.Regions.Clear();
    }
}
