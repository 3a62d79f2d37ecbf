using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Events that overtook others.</content>
/// <remarks>
/// The kernel queues an event after it has let go of the address space, so events of different threads may swap:
/// <code>
/// thread A                      thread B                    events as they are read
/// mremap X to Y, X is free      mremap Z to X               remap Z to X
///                                                           remap X to Y
///                                                           unmap X, unmap Z
/// </code>
/// Taken as they come, A would move away with what B has brought, and the unmap would take the rest. But what lies at X when B's remap is read
/// must have left X in the kernel already, and an event that says so is still to come. So it is set aside, and the next remap or unmap
/// of X is taken for its own. Until that event is read, the kernel refuses to fill anything; once nothing is outstanding (the kernel fills again),
/// what is still set aside was a mistake of ours and is dropped. It lies in the state memory like everything else, at addresses that no process has, so
/// that a successor goes on waiting for the event. Not told apart is a second remap by B, of X, before A's event is queued:
/// nothing in the events does, and A would have to be preempted for as long as B takes for a fault-free round through the manager.
/// </remarks>
internal sealed partial class FaultLoop
{
    // Room between contents that are set aside, so that the states of huge pages lie in entries of their own.
    private const ulong AsideAlignment = 2 * 1024 * 1024;

    private void TakeUnmap(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        foreach (DisplacedRange displaced in session.Displaced.Where(range => range.Overlaps(start, end)).OrderBy(range => range.Start).ToArray())
        {
            // This part of it is what was awaited; who lives there now stays.
            ApplyUnmapOf(session, cursor, displaced.Start);
            cursor = Math.Max(cursor, displaced.End);
            if (displaced.Start < start)
            {
                displaced.End = start;
            }
            else if (displaced.End > end)
            {
                displaced.TrimTo(end);
            }
            else
            {
                DropContents(session, displaced);
                session.Displaced.Remove(displaced);
            }
        }

        ApplyUnmapOf(session, cursor, end);
        session.Vacated.RemoveAll(range => range.Start < end && start < range.End);
    }

    // Its steps are noted in the message, for a manager that finds it: nothing that was set aside is looked for twice, and nothing is moved twice.
    private void TakeRemap(Session session, ref UffdMessage message)
    {
        (ulong from, ulong to, ulong length) = (message.From, message.To, message.Length);
        bool ownersTell = (session.Features & UffdFeatures.EventUnmap) != 0;
        if (message.Step == RemapStep.Read)
        {
            if (ownersTell)
            {
                Displace(session, to, to + length, ref message);
            }

            message.Step = RemapStep.PlaceIsFree;
        }

        List<DisplacedRange> owners = session.Displaced.FindAll(range => range.Aside != 0 && range.Overlaps(from, from + length) && !range.Overlaps(to, to + length));
        if (owners.Count > 0)
        {
            MoveDisplaced(session, owners, ref message);
        }
        else if (message.Step != RemapStep.Done)
        {
            ApplyRemap(session, ref message);
            if (ownersTell)
            {
                session.Vacated.Add((from, from + length));
            }
        }

        RecordAwaited(session);
    }

    /// <summary>Goes on waiting for the events that an earlier manager waited for.</summary>
    private static void RestoreAwaited(Session session, IEnumerable<Region> aside)
    {
        List<Region> left = [.. aside];
        foreach (AwaitedRange range in session.Ledger.ReadAwaited())
        {
            session.HasAwaitedOnRecord = true;
            if (!range.IsDisplaced)
            {
                session.Vacated.Add((range.Start, range.End));
                continue;
            }

            DisplacedRange displaced = new(range.Start, range.End, range.Aside);
            displaced.Regions.AddRange(left.Where(region => region.Start < displaced.AsideEnd && displaced.Aside < region.End));
            left.RemoveAll(displaced.Regions.Contains);
            if (displaced.Regions.Count == 0)
            {
                // Its contents have found their place; the list was not rewritten any more.
                displaced.Empty();
            }

            session.Displaced.Add(displaced);
        }

        // Set aside, and the manager ended before it was on the list; where it came from it still is.
        foreach (Region region in left)
        {
            session.Ledger.Forget(region);
            region.Release();
        }
    }

    // A successor has to know them: the unmap of a range that has a new owner must not be taken for his. So a remap puts them on record before its message
    // is taken off, and an unmap takes them off afterwards: of an unmap that is taken in twice the second must find what it was awaited for.
    private static void RecordAwaited(Session session)
    {
        if (session.Vacated.Count + session.Displaced.Count == 0 && !session.HasAwaitedOnRecord)
        {
            return;
        }

        session.HasAwaitedOnRecord = session.Vacated.Count + session.Displaced.Count > 0;
        bool isWhole = session.Ledger.WriteAwaited([
            .. session.Displaced.Select(range => new AwaitedRange(range.Start, range.End, IsDisplaced: true, range.Aside)),
            .. session.Vacated.Select(range => new AwaitedRange(range.Start, range.End, IsDisplaced: false))]);
        if (isWhole == session.Ledger.LacksAwaited)
        {
            session.Ledger.LacksAwaited = !isWhole;
        }
    }

    /// <summary>Drops what was set aside, and the notes of what moved, as soon as no event is outstanding.</summary>
    private static void ForgetDisplacedIfQuiet(Session session)
    {
        if ((session.Displaced.Count > 0 || session.Vacated.Count > 0) && !Userfaultfd.IsChanging(session.Lease))
        {
            ForgetDisplaced(session);
        }
    }

    private static void ForgetDisplaced(Session session)
    {
        if (session.Displaced.Count + session.Vacated.Count == 0)
        {
            return;
        }

        // The list first: what it names must be there.
        DisplacedRange[] mistaken = [.. session.Displaced];
        session.Displaced.Clear();
        session.Vacated.Clear();
        RecordAwaited(session);
        foreach (DisplacedRange range in mistaken)
        {
            DropContents(session, range);
        }
    }

    private void ApplyUnmapOf(Session session, ulong start, ulong end)
    {
        if (start < end)
        {
            ApplyUnmap(session, start, end);
        }
    }

    // Sets aside what lies in [start, end), so that the range is free for who arrives. All of it is on record, by one store, before anything is cut. The
    // message says how many there were before: a successor that finds more has nothing left to do but the cut.
    private void Displace(Session session, ulong start, ulong end, ref UffdMessage message)
    {
        CollectTouched(session, start, end);
        if (_touched.Count == 0)
        {
            return;
        }

        if (message.Note == 0)
        {
            message.Note = (uint)session.Displaced.Count + 1;
        }

        if (session.Displaced.Count < message.Note)
        {
            foreach (Region region in _touched)
            {
                DisplacedRange displaced = SetAside(session, region, Math.Max(start, region.Start), Math.Min(end, region.End));
                session.Displaced.Add(displaced);
            }

            RecordAwaited(session);
        }

        ApplyUnmap(session, start, end);
        session.Vacated.RemoveAll(range => range.Start >= start && range.End <= end);
    }

    // A range whose contents have moved away already is awaited without any.
    private DisplacedRange SetAside(Session session, Region region, ulong start, ulong end)
    {
        if (session.Vacated.Exists(range => range.Start < end && start < range.End))
        {
            return new DisplacedRange(start, end);
        }

        ulong last = session.Displaced.Where(range => range.Aside != 0).Select(range => range.AsideEnd).DefaultIfEmpty(StateLayout.AsideBase).Max();
        DisplacedRange displaced = new(start, end, PageSize.AlignUp(last, AsideAlignment) + (start & (AsideAlignment - 1)));
        Region piece = region.Derive(displaced.Aside, displaced.AsideEnd, region.OffsetOf(start), region.Generation);
        displaced.Regions.Add(piece);
        if (!TryCopyPages(session, region, start, end, displaced.Aside))
        {
            Kill(session, start, "the manager has no memory to follow mremap");
        }

        _ = session.Ledger.Record(piece, RegionRecordState.Aside);
        return displaced;
    }

    private static void DropContents(Session session, DisplacedRange displaced)
    {
        if (displaced.Aside == 0)
        {
            return;
        }

        foreach (Region region in displaced.Regions)
        {
            session.Ledger.Forget(region);
            region.Release();
        }

        // Clearing needs no memory beyond what it gives back, but for the borders; what is left there is written over before it is read.
        _ = session.Pages.TrySetRange(displaced.Aside, displaced.AsideEnd, PageState.Absent);
        displaced.Empty();
    }

    // The former owner of a range tells at last where he went. In three steps like any other remap; what a manager before may have done of the first is done
    // over. Of a range that was displaced in part the rest still stands where it was, and goes along.
    private void MoveDisplaced(Session session, List<DisplacedRange> owners, ref UffdMessage message)
    {
        (ulong from, ulong to, ulong length) = (message.From, message.To, message.Length);
        List<(ulong Start, ulong End)> rest = NotDisplaced(session, from, from + length);
        if (message.Step == RemapStep.PlaceIsFree)
        {
            CutRegions(session, to, to + length);
            if (!owners.TrueForAll(owner => TryMoveAside(session, owner, Math.Max(from, owner.Start), Math.Min(from + length, owner.End), to - from))
                || !rest.TrueForAll(part => TryMoveRest(session, part.Start, part.End, to + (part.Start - from))))
            {
                return;
            }

            message.Step = RemapStep.Moved;
        }

        if (message.Step == RemapStep.Moved)
        {
            foreach ((ulong start, ulong end) in rest)
            {
                CollectTouched(session, start, end);
                _touched.ForEach(region => VacatePages(session, region, Math.Max(start, region.Start), Math.Min(end, region.End)));
                _ = Userfaultfd.Wake(session.Lease, start, end - start);
            }

            message.Step = RemapStep.Done;
        }

        owners.ForEach(owner => DropContents(session, owner));
    }

    // [start, end) of the range lies at that place plus the distance now.
    private bool TryMoveAside(Session session, DisplacedRange owner, ulong start, ulong end, ulong distance)
    {
        (ulong first, ulong last) = (owner.AsideOf(start), owner.AsideOf(end));
        foreach (Region region in owner.Regions.Where(region => region.Start < last && first < region.End))
        {
            ulong cursor = Math.Max(first, region.Start);
            ulong stop = Math.Min(last, region.End);
            ulong target = owner.Start + (cursor - owner.Aside) + distance;
            ForgetResident(session, target, target + (stop - cursor));
            if (!TryCopyPages(session, region, cursor, stop, target))
            {
                Kill(session, target, "the manager has no memory to follow mremap");
                return false;
            }

            Region copy = region.Derive(target, target + (stop - cursor), region.OffsetOf(cursor), region.Generation);
            session.Regions.Add(copy);
            session.Tenant.Usage.ForceRegions(1, (long)copy.Length);
            CountResident(session, copy.Start, copy.End);
        }

        return true;
    }

    private bool TryMoveRest(Session session, ulong start, ulong end, ulong to)
    {
        CollectTouched(session, start, end);
        return TryMove(session, [.. _touched], start, to, end);
    }

    // The parts of [start, end) of which nobody else has taken possession.
    private static List<(ulong Start, ulong End)> NotDisplaced(Session session, ulong start, ulong end)
    {
        List<(ulong Start, ulong End)> parts = [];
        ulong cursor = start;
        foreach (DisplacedRange displaced in session.Displaced.Where(range => range.Overlaps(start, end)).OrderBy(range => range.Start))
        {
            if (displaced.Start > cursor)
            {
                parts.Add((cursor, displaced.Start));
            }

            cursor = Math.Max(cursor, displaced.End);
        }

        if (cursor < end)
        {
            parts.Add((cursor, end));
        }

        return parts;
    }

    private static void CountResident(Session session, ulong start, ulong end)
    {
        ulong cursor = start;
        while (session.Pages.NextRun(cursor, end, out ulong stop, out PageState state))
        {
            if ((state & PageState.StateMask) == PageState.Present)
            {
                AddResident(session, (long)(stop - cursor));
            }

            cursor = stop;
        }
    }
}
