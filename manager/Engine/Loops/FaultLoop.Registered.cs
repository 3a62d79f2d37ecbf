using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Ranges that a client had registered itself.</content>
internal sealed partial class FaultLoop
{
    /// <summary>
    /// Gives a session that nobody knows yet the ranges that are registered on its userfaultfd. All or none; what the kernel has registered stays as it is in either case, because to
    /// unregister it would let the client read zeros.
    /// </summary>
    /// <param name="session">Neither watched nor stored so far: a successor finds it with all of them or not at all.</param>
    /// <param name="ranges">With the modes and page sizes that the kernel knows.</param>
    /// <param name="pageBytes">Page size of each range, in the same order.</param>
    public EngineError? TakeRegistered(Session session, IReadOnlyList<RegisterRequest> ranges, IReadOnlyList<ulong> pageBytes)
    {
        for (int i = 0; i < ranges.Count; i++)
        {
            if (TakeRegistered(session, ranges[i], pageBytes[i]) is EngineError error)
            {
                ReleaseRegions(session);
                return error;
            }
        }

        return null;
    }

    private EngineError? TakeRegistered(Session session, RegisterRequest range, ulong pageBytes)
    {
        ulong end = range.Start + range.Length;
        if (pageBytes > ScratchBytes)
        {
            return new EngineError(EngineErrorKind.Invalid, Errno.EINVAL, $"pages of {pageBytes} bytes are not served: 2 MiB is the largest size");
        }

        if (session.Regions.FindOverlap(range.Start, end) is not null)
        {
            return new EngineError(EngineErrorKind.Invalid, Errno.EINVAL, $"the range 0x{range.Start:x}+0x{range.Length:x} overlaps another one");
        }

        if (FindConflict(session, range.Start, end) is RangeHolder holder)
        {
            session.Counters.ManagerConflicts++;
            return new EngineError(EngineErrorKind.Conflict, Errno.EBUSY, RegisterChecks.ConflictText(range, holder), holder);
        }

        // A range is registered once more for the modes that it has: harmless on the right userfaultfd, EBUSY on any other, and the only way to learn its ioctls.
        Errno errno = Userfaultfd.Register(session.Uffd, range.Start, range.Length, range.Modes, out UffdIoctls ioctls);
        if (errno != Errno.OK)
        {
            return errno == Errno.EBUSY ? Taken(session, range) : RegisterChecks.KernelRefused(range, errno);
        }

        TenantLimits limits = session.Tenant.Limits;
        TenantUsage usage = session.Tenant.Usage;
        if (!usage.TryAddRegion(limits.Regions))
        {
            return Limited(session, $"{limits.Regions} regions", "limits.regions").Error;
        }

        if (!usage.TryAddRegisteredBytes((long)range.Length, limits.RegisteredBytes))
        {
            usage.ForceRegions(-1, 0);
            return Limited(session, $"{limits.RegisteredBytes} registered bytes", "limits.registeredBytes").Error;
        }

        PageSource source = SourceOf(range);
        if (Keep(session, range, source) is EngineError unkept)
        {
            return unkept;
        }

        session.Regions.Add(MakeRegion(range, source, pageBytes, ioctls));
        return session.Ledger.IsIncomplete
            ? new EngineError(EngineErrorKind.Kernel, Errno.ENOMEM, "the manager has no memory to record the range")
            : null;
    }

    // What a range needs must outlive this manager, or its client would be killed by the next one. Gives back what the range was counted for when it cannot.
    private EngineError? Keep(Session session, RegisterRequest range, PageSource source)
    {
        if (source.Keep(_engine.Keeper) && range.Policy.Source?.Keep(_engine.Keeper) != false && range.Image?.Keep(_engine.Keeper) != false)
        {
            return null;
        }

        session.Tenant.Usage.ForceRegions(-1, -(long)range.Length);
        return FaultEngine.NoRoomToKeep("the source of these pages");
    }
}
