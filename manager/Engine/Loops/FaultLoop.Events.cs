using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>
/// Events: what the client did to its own address space. Reading one is its acknowledgement; the client's thread runs on afterwards, and
/// until it has, the kernel refuses to fill anything (EAGAIN). So whatever is decided here holds before the next page is installed.
/// </content>
internal sealed partial class FaultLoop
{
    private readonly List<Region> _touched = [];
    private readonly List<DeferredFault> _lifted = [];

    /// <summary>Takes one event in. Internal for the tests: in which order the kernel queues the events of several threads cannot be forced.</summary>
    /// <remarks>
    /// The message lies in the session's inbox, where the kernel has put it: it is on record since the moment it was acknowledged, and is taken off the
    /// record here once everything that it brings is recorded. A successor that still finds it takes it in again; so everything below comes to
    /// the same end when it is begun anew after any number of its steps.
    /// </remarks>
    internal void ApplyEvent(Session session, ref UffdMessage message)
    {
        switch (message.Event)
        {
            case UffdEventKind.Remove:
                session.Counters.Events[(int)EventKind.Remove]++;
                ApplyRemove(session, message.Start, message.End);
                break;
            case UffdEventKind.Unmap:
                session.Counters.Events[(int)EventKind.Unmap]++;
                session.Snapshot?.RangeChanges(message.Start, message.End, "unmapped");
                session.Reads?.NoteGone(message.Start, message.End);
                TakeUnmap(session, message.Start, message.End);
                break;
            case UffdEventKind.Remap:
                session.Counters.Events[(int)EventKind.Remap]++;
                session.Snapshot?.RangeChanges(message.From, message.From + message.Length, "moved");
                session.Reads?.NoteGone(message.From, message.From + message.Length);
                session.Snapshot?.RangeChanges(message.To, message.To + message.Length, "moved memory to");
                TakeRemap(session, ref message);
                break;
            case UffdEventKind.Fork:
                session.Counters.Events[(int)EventKind.Fork]++;
                ApplyFork(session, message.ForkFd);
                break;
            default:
                // An event of a kernel newer than this program changes nothing that we keep.
                break;
        }

        CrashPoints.Visit(CrashPoint.EventApplied);
        UffdEventKind taken = message.Event;
        message.Event = UffdEventKind.None;
        if (taken == UffdEventKind.Fork)
        {
            // After the message: a number without a message means nothing, a message without a number is a child that was lost.
            session.Ledger.ForkedChild = 0;
        }
        else if (taken == UffdEventKind.Unmap)
        {
            RecordAwaited(session);
        }

        CheckRecorded(session);
    }

    // What is not on record does not exist for a successor: it would serve the rest, and leave whoever faults there without an answer.
    private void CheckRecorded(Session session)
    {
        if (session.Ledger.IsIncomplete)
        {
            Kill(session, 0, "the manager has no memory to record what became of its ranges");
        }
    }

    // madvise(DONTNEED, FREE, REMOVE). Delivered before the pages go, which is why nothing is looked up in the client: what the
    // page table says from here on is what the next fault gets.
    private void ApplyRemove(Session session, ulong start, ulong end)
    {
        CollectTouched(session, start, end);
        foreach (Region region in _touched)
        {
            // Huge pages that are covered only in part stay.
            NoteEdges(session, region, Math.Max(start, region.Start), Math.Min(end, region.End));
            ulong from = PageSize.AlignUp(Math.Max(start, region.Start), region.PageBytes);
            ulong to = PageSize.AlignDown(Math.Min(end, region.End), region.PageBytes);
            if (from < to)
            {
                RemovePages(session, region, from, to);
            }
        }
    }

    private void RemovePages(Session session, Region region, ulong from, ulong to)
    {
        NoteLost(session, region, from, to);
        LiftDeferred(session, from, to);
        ForgetResident(session, from, to);
        NoteGivenBack(session, region, from, to);
        if (!session.Pages.TrySetRange(from, to, StateAfterRemoval(region)))
        {
            Kill(session, from, "the manager has no memory to remember which pages were given back");
        }

        CrashPoints.Visit(CrashPoint.RemoveHalf);

        // Who waits for a fetch of these pages need not wait for its end: what it brings is void.
        foreach (FetchTicket ticket in session.Tickets)
        {
            if (ticket.Start < to && from < ticket.End)
            {
                _ = Userfaultfd.Wake(session.Lease, Math.Max(from, ticket.Start), Math.Min(to, ticket.End) - Math.Max(from, ticket.Start));
            }
        }

        // The faults themselves are as true as before; what they get is decided when they are tried again.
        foreach (DeferredFault fault in _lifted)
        {
            PutBack(session, fault);
        }
    }

    private static void ForgetResident(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.StateMask) == PageState.Present)
            {
                AddResident(session, -(long)(stop - cursor));
            }

            cursor = stop;
        }
    }

    private static PageState StateAfterRemoval(Region region) =>
        ((region.Flags & (RegionFlags.RemoveMeansSource | RegionFlags.Mailbox)) != 0 || region.Image is not null || region.Source.IsZero
            ? PageState.Absent
            : PageState.Removed) | (region.IsTracked ? PageState.Dirty : PageState.Absent);

    private void ApplyUnmap(Session session, ulong start, ulong end)
    {
        CollectTouched(session, start, end);
        foreach (Region region in _touched)
        {
            ForgetResident(session, Math.Max(start, region.Start), Math.Min(end, region.End));
        }

        if (_touched.Count > 0)
        {
            // Pages first: done again by a successor, it would find no region that says there is something to forget.
            ForgetPages(session, start, end);
            CutRegions(session, start, end);
        }
    }

    // mremap. The source range stays registered when MREMAP_DONTUNMAP was given, and is unmapped by an event that follows when not:
    // so it is kept here, as a range that was given back.
    //
    // In three steps, each of which may be done twice, and none may be skipped: states are copied to where the range went, regions are made there, and
    // only then the old place is taken for given back. A successor that finds the message begins at the start, or, when the old place may be changed
    // already, with the last step.
    private void ApplyRemap(Session session, ref UffdMessage message)
    {
        (ulong from, ulong to, ulong length) = (message.From, message.To, message.Length);
        ulong end = from + length;
        CollectTouched(session, from, end);
        Region[] moved = [.. _touched];
        if (moved.Length == 0)
        {
            return;
        }

        if (message.Step == RemapStep.PlaceIsFree)
        {
            CutRegions(session, to, to + length);
            if (!TryMove(session, moved, from, to, end))
            {
                return;
            }

            CrashPoints.Visit(CrashPoint.RemapRegionsMoved);
            message.Step = RemapStep.Moved;
        }

        foreach (Region region in moved)
        {
            VacatePages(session, region, Math.Max(from, region.Start), Math.Min(end, region.End));
        }

        // The marks of fetches under way went with everything else: they find nothing to install at the old addresses.
        _ = Userfaultfd.Wake(session.Lease, from, length);
    }

    private bool TryMove(Session session, Region[] moved, ulong from, ulong to, ulong end)
    {
        foreach (Region region in moved)
        {
            ulong start = Math.Max(from, region.Start);
            if (!TryCopyPages(session, region, start, Math.Min(end, region.End), to + (start - from)))
            {
                Kill(session, to, "the manager has no memory to follow mremap");
                return false;
            }
        }

        CrashPoints.Visit(CrashPoint.RemapPagesCopied);
        foreach (Region region in moved)
        {
            ulong start = Math.Max(from, region.Start);
            ulong target = to + (start - from);
            Region copy = region.Derive(target, target + (Math.Min(end, region.End) - start), region.OffsetOf(start), _engine.NextGeneration());
            session.Regions.Add(copy);
            session.Tenant.Usage.ForceRegions(1, (long)copy.Length);
        }

        return true;
    }

    private static bool TryCopyPages(Session session, Region region, ulong start, ulong stop, ulong target)
    {
        // Lists of changed pages are by address, and there the contents are new.
        PageState note = region.IsTracked ? PageState.Dirty : PageState.Absent;
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, stop, out ulong runEnd, out PageState state))
        {
            PageState kind = state & PageState.StateMask;
            PageState kept = kind is PageState.Present or PageState.Removed or PageState.Poisoned
                ? state & ~(PageState.Deferred | PageState.Waited)
                : state & PageState.Dirty;
            if (!session.Pages.TrySetRange(target + (cursor - start), target + (runEnd - start), kept | note))
            {
                return false;
            }

            cursor = runEnd;
        }

        return true;
    }

    private void VacatePages(Session session, Region region, ulong start, ulong stop)
    {
        LiftDeferred(session, start, stop);
        foreach (DeferredFault fault in _lifted)
        {
            _ = Userfaultfd.Wake(session.Lease, fault.Address, region.PageBytes);
            Account(session, KindOf(fault.Flags), FaultOutcome.Stale, fault.ReadAt);
        }

        if (!session.Pages.TrySetRange(start, stop, StateAfterRemoval(region)))
        {
            Kill(session, start, "the manager has no memory to follow mremap");
        }
    }

    private void CollectTouched(Session session, ulong start, ulong end) => session.Regions.CollectOverlaps(start, end, _touched);

    private void LiftDeferred(Session session, ulong start, ulong end) => session.Deferred.TakeWithin(start, end, _lifted);

    // Everything known of a range is dropped; whoever waits in it is woken and finds out for himself.
    private void ForgetPages(Session session, ulong start, ulong end)
    {
        LiftDeferred(session, start, end);
        foreach (DeferredFault fault in _lifted)
        {
            Account(session, KindOf(fault.Flags), FaultOutcome.Stale, fault.ReadAt);
        }

        ForgetInFlight(session, start, end);
        if (!session.Pages.TrySetRange(start, end, PageState.Absent))
        {
            Kill(session, start, "the manager has no memory to forget pages that were unmapped");
        }

        _ = Userfaultfd.Wake(session.Lease, start, end - start);
    }

    // Pages in flight in a range whose ground has moved start over: absent, their waiters woken to fault again.
    private static void ForgetInFlight(Session session, ulong start, ulong end)
    {
        foreach (FetchTicket ticket in session.Tickets)
        {
            if (ticket.Start < end && start < ticket.End)
            {
                ResetInFlight(session, Math.Max(start, ticket.Start), Math.Min(end, ticket.End));
            }
        }
    }

    private static void ResetInFlight(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.StateMask) == PageState.InFlight)
            {
                _ = session.Pages.TrySetRange(cursor, stop, state & PageState.Dirty);
            }

            cursor = stop;
        }

        _ = Userfaultfd.Wake(session.Lease, start, end - start);
    }

    private static void CutRegions(Session session, ulong start, ulong end)
    {
        int before = session.Regions.Count;
        ulong bytesBefore = session.Regions.Bytes;
        ForgetInFlight(session, start, end);
        session.Regions.Cut(start, end);
        session.Tenant.Usage.ForceRegions(session.Regions.Count - before, (long)session.Regions.Bytes - (long)bytesBefore);
    }
}
