using UffdManager.Engine.Fetch;
using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
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
    internal void ApplyEvent(Session session, in UffdMessage message)
    {
        switch (message.Event)
        {
            case UffdEventKind.Remove:
                session.Counters.Events[(int)EventKind.Remove]++;
                ApplyRemove(session, message.Start, message.End);
                break;
            case UffdEventKind.Unmap:
                session.Counters.Events[(int)EventKind.Unmap]++;
                TakeUnmap(session, message.Start, message.End);
                break;
            case UffdEventKind.Remap:
                session.Counters.Events[(int)EventKind.Remap]++;
                TakeRemap(session, message.From, message.To, message.Length);
                break;
            case UffdEventKind.Fork:
                session.Counters.Events[(int)EventKind.Fork]++;
                ApplyFork(session, message.ForkFd);
                break;
            default:
                // An event of a kernel newer than this program changes nothing that we keep.
                break;
        }
    }

    // madvise(DONTNEED, FREE, REMOVE). Delivered before the pages go, which is why nothing is looked up in the client: what the
    // page table says from here on is what the next fault gets.
    private void ApplyRemove(Session session, ulong start, ulong end)
    {
        CollectTouched(session, start, end);
        foreach (Region region in _touched)
        {
            // Huge pages that are covered only in part stay: the kernel frees whole pages, and zeroes the edges itself.
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
        LiftDeferred(session, from, to);
        ForgetResident(session, from, to);
        if (!session.Pages.TrySetRange(from, to, StateAfterRemoval(region)))
        {
            Kill(session, from, "the manager has no memory to remember which pages were given back");
        }

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
        (region.Flags & (RegionFlags.RemoveMeansSource | RegionFlags.Mailbox)) != 0 || region.Image is not null || region.Source.IsZero
            ? PageState.Absent
            : PageState.Removed;

    private void ApplyUnmap(Session session, ulong start, ulong end)
    {
        CollectTouched(session, start, end);
        foreach (Region region in _touched)
        {
            ForgetResident(session, Math.Max(start, region.Start), Math.Min(end, region.End));
        }

        if (_touched.Count > 0)
        {
            CutRegions(session, start, end);
            ForgetPages(session, start, end);
        }
    }

    // mremap. The source range stays registered when MREMAP_DONTUNMAP was given, and is unmapped by an event that follows when not:
    // so it is kept here, as a range that was given back.
    private void ApplyRemap(Session session, ulong from, ulong to, ulong length)
    {
        ulong end = from + length;
        CollectTouched(session, from, end);
        Region[] moved = [.. _touched];
        if (moved.Length == 0)
        {
            return;
        }

        CutRegions(session, to, to + length);
        foreach (Region region in moved)
        {
            ulong start = Math.Max(from, region.Start);
            ulong stop = Math.Min(end, region.End);
            ulong target = to + (start - from);
            Region copy = region.Derive(target, target + (stop - start), region.OffsetOf(start), _engine.NextGeneration());
            session.Regions.Add(copy);
            session.Tenant.Usage.ForceRegions(1, (long)copy.Length);
            MovePages(session, region, start, stop, target);
        }

        // MovePages has taken the marks of fetches under way with everything else: they find nothing to install at the old addresses.
        _ = Userfaultfd.Wake(session.Lease, from, length);
    }

    private void MovePages(Session session, Region region, ulong start, ulong stop, ulong target)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, stop, out ulong runEnd, out PageState state))
        {
            PageState kind = state & PageState.StateMask;
            PageState kept = kind is PageState.Present or PageState.Removed or PageState.Poisoned
                ? state & ~(PageState.Deferred | PageState.Waited)
                : PageState.Absent;
            if (!session.Pages.TrySetRange(target + (cursor - start), target + (runEnd - start), kept))
            {
                Kill(session, target, "the manager has no memory to follow mremap");
                return;
            }

            cursor = runEnd;
        }

        LiftDeferred(session, start, stop);
        foreach (DeferredFault fault in _lifted)
        {
            _ = Userfaultfd.Wake(session.Lease, fault.Address, region.PageBytes);
            Account(session, KindOf(fault.Flags), FaultOutcome.Stale, fault.ReadAt);
        }

        _ = session.Pages.TrySetRange(start, stop, StateAfterRemoval(region));
    }

    private void ApplyFork(Session parent, int descriptor)
    {
        SafeUffd uffd = SafeUffd.Adopt(descriptor);
        Session child = _engine.NewForkedSession(parent, uffd);
        child.Tenant.Usage.AddSession();
        Add(child);
        _engine.Publish(new ForkAdopted(_now, child, parent));
        string? refusal = WhyForkIsTooMuch(parent);
        if (refusal is not null)
        {
            RefuseFork(parent, child, refusal);
            return;
        }

        foreach (Region region in parent.Regions.All)
        {
            Region copy = region.Derive(region.Start, region.End, region.SourceOffset, region.Generation);
            child.Regions.Add(copy);
        }

        child.Tenant.Usage.ForceRegions(child.Regions.Count, (long)child.Regions.Bytes);
        foreach (Region region in child.Regions.All)
        {
            CopyPages(parent, child, region);
        }

        if (parent.State == SessionState.Condemned)
        {
            Kill(child, 0, "was forked from a process that the manager had to kill");
        }
    }

    // The child has been counted among the sessions already.
    private static string? WhyForkIsTooMuch(Session parent)
    {
        TenantLimits limits = parent.Tenant.Limits;
        TenantUsage usage = parent.Tenant.Usage;
        return usage.Sessions > limits.Sessions ? $"was forked beyond the tenant's limit of {limits.Sessions} sessions"
            : usage.Regions + parent.Regions.Count > limits.Regions ? $"was forked beyond the tenant's limit of {limits.Regions} regions"
            : usage.RegisteredBytes + (long)parent.Regions.Bytes > limits.RegisteredBytes ? $"was forked beyond the tenant's limit of {limits.RegisteredBytes} registered bytes"
            : null;
    }

    // A fork cannot be refused: the child exists. Where the kernel's zero fill is an equal substitute it goes on without us,
    // otherwise it is killed as soon as its first fault says who it is.
    private void RefuseFork(Session parent, Session child, string why)
    {
        bool released = IsZeroOnly(parent);
        _engine.Publish(new ForkRefused(_now, child, released));
        if (released)
        {
            End(child, SessionEndReason.Released);
        }
        else
        {
            Kill(child, 0, why);
        }
    }

    private void CopyPages(Session parent, Session child, Region region)
    {
        ulong cursor = region.Start;
        while (parent.Pages.NextRun(cursor, region.End, out ulong stop, out PageState state))
        {
            PageState kind = state & PageState.StateMask;
            if (kind is PageState.Present or PageState.Removed or PageState.Poisoned)
            {
                if (!child.Pages.TrySetRange(cursor, stop, kind))
                {
                    Kill(child, cursor, "the manager has no memory for the page table of a forked child");
                    return;
                }

                if (kind == PageState.Present)
                {
                    AddResident(child, (long)(stop - cursor));
                }
            }

            cursor = stop;
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
        _ = session.Pages.TrySetRange(start, end, PageState.Absent);
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
                _ = session.Pages.TrySetRange(cursor, stop, PageState.Absent);
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
