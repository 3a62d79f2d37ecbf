using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Engine.WorkingSets;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>The way of a fault that has been read: decide, resolve, account.</content>
internal sealed partial class FaultLoop
{
    private void Serve(Session session, ulong address, UffdFaultFlags flags, long readAt, long since, int attempts)
    {
        ForgetDisplacedIfQuiet(session);
        FaultKind kind = KindOf(flags);
        Region? region = session.Regions.Find(address);
        if (region is null || (region.Modes & ModeOf(kind)) == 0)
        {
            // No region, or one that cannot fault in this way: it was another mapping that was touched here, or will be one.
            region = FindUnknown(session, region, address, flags, readAt, attempts);
            if (region is null)
            {
                return;
            }
        }

        ulong page = PageSize.AlignDown(address, region.PageBytes);
        PageState state = session.Pages.Get(page);
        if ((state & PageState.Deferred) != 0 || (state & PageState.StateMask) == PageState.InFlight)
        {
            // A thread that is hit by signals in the middle of a kernel-mode fault asks hundreds of thousands of times a second.
            if ((state & PageState.Waited) == 0)
            {
                _ = session.Pages.TrySetPage(page, region.PageBytes, state | PageState.Waited);
                Join(session, region, page, readAt, since);
            }

            Account(session, kind, FaultOutcome.Duplicate, readAt);
            return;
        }

        // A snapshot makes faults, and several of a page: the operator's, whom the limit does not mean. Of each page that it has read there is none any more.
        bool isOfSnapshot = kind == FaultKind.WriteProtect && session.Snapshot is { Failure: null } snapshot && snapshot.Holds(page);
        if (attempts == 0 && !isOfSnapshot && Throttled(session, page, flags, readAt))
        {
            return;
        }

        FaultContext fault = new(session, region, page, flags, kind, state, readAt, since, attempts);
        switch (kind)
        {
            case FaultKind.WriteProtect:
                ServeWriteProtect(in fault);
                break;
            case FaultKind.Minor:
                ServeMinor(in fault);
                break;
            default:
                ServeMissing(in fault);
                break;
        }
    }

    private static UffdRegisterModes ModeOf(FaultKind kind) => kind switch
    {
        FaultKind.Minor => UffdRegisterModes.Minor,
        FaultKind.WriteProtect => UffdRegisterModes.WriteProtect,
        _ => UffdRegisterModes.Missing,
    };

    private bool Throttled(Session session, ulong page, UffdFaultFlags flags, long readAt)
    {
        TenantLimits limits = session.Tenant.Limits;
        if (session.Tenant.Usage.Faults.TryTake(1, limits.FaultsPerSecond, _now, out long readyAt)
            && session.Tenant.Usage.CopiedBytes.TryTake(0, limits.CopiedBytesPerSecond, _now, out readyAt))
        {
            return false;
        }

        Defer(session, page, flags, readAt, 0, DeferralReason.Throttled, readyAt);
        return true;
    }

    private void ServeMissing(in FaultContext fault)
    {
        Region region = fault.Region;
        if ((region.Flags & RegionFlags.Mailbox) != 0)
        {
            InstallMailbox(in fault);
            return;
        }

        if (region.Image is not null)
        {
            ServeShared(in fault);
            return;
        }

        switch (fault.State & PageState.StateMask)
        {
            case PageState.Poisoned:
                InstallPoison(in fault);
                return;
            case PageState.Removed:
                InstallZeros(in fault, fault.Page, region.PageBytes);
                return;
            case PageState.Present:
                ServeVanished(in fault);
                return;
            default:
                InstallFromSource(in fault);
                return;
        }
    }

    private void InstallFromSource(in FaultContext fault)
    {
        (ulong start, int length) = Window(fault.Session, fault.Region, fault.Page);
        NoteTouch(in fault, start, length);
        if (fault.Region.Source.IsZero)
        {
            InstallZeros(in fault, start, (ulong)length);
            return;
        }

        long offset = fault.Region.OffsetOf(start);
        PageSource source = fault.Region.Source;
        SourceAnswer answer = source.TryGet(offset, length, _scratch, out SourcePages pages);
        if (answer == SourceAnswer.Ready)
        {
            bool isUsable = start + (ulong)pages.Length > fault.Page && PageSize.IsAligned((ulong)pages.Length, fault.Region.PageBytes);
            if (isUsable)
            {
                InstallCopy(in fault, start, pages.Address, (ulong)pages.Length);
            }

            source.Release(in pages);
            if (isUsable)
            {
                return;
            }
        }

        if (answer == SourceAnswer.Zero)
        {
            InstallZeros(in fault, start, (ulong)length);
            return;
        }

        StartFetch(in fault, start, length);
    }

    private void ServeWriteProtect(in FaultContext fault)
    {
        if (ServeForSnapshot(in fault))
        {
            return;
        }

        if (!TryNoteDirty(fault.Session, fault.Region, fault.Page) && fault.Region.IsTracked)
        {
            Defer(in fault, DeferralReason.NoMemory);
            return;
        }

        Errno errno = Userfaultfd.WriteProtect(fault.Session.Lease, fault.Page, fault.Region.PageBytes, protect: false);
        switch (errno)
        {
            case Errno.OK:
                // Of a page that was given back since the fault came, the kernel lifts a mark where nothing is.
                if ((fault.State & PageState.StateMask) != PageState.Removed)
                {
                    MarkPresent(fault.Session, fault.Region, fault.Page, fault.Page + fault.Region.PageBytes);
                }

                Account(fault.Session, fault.Kind, FaultOutcome.Unprotected, fault.ReadAt);
                break;
            case Errno.EAGAIN:
                Defer(in fault, DeferralReason.Changing);
                break;
            case Errno.ESRCH:
                Account(fault.Session, fault.Kind, FaultOutcome.ClientGone, fault.ReadAt);
                break;
            default:
                _ = Userfaultfd.Wake(fault.Session.Lease, fault.Page, fault.Region.PageBytes);
                Account(fault.Session, fault.Kind, FaultOutcome.Stale, fault.ReadAt);
                break;
        }
    }

    private void ServeMinor(in FaultContext fault)
    {
        if (fault.Region.Image is not null)
        {
            ServeShared(in fault);
            return;
        }

        Conclude(in fault, fault.Page, InstallContinue(fault.Session, fault.Region, fault.Page, fault.Region.PageBytes), FaultOutcome.Continued);
    }
}
