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
/// what is still set aside was a mistake of ours and is dropped. Not told apart is a second remap by B, of X, before A's event is queued:
/// nothing in the events does, and A would have to be preempted for as long as B takes for a fault-free round through the manager.
/// </remarks>
internal sealed partial class FaultLoop
{
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
                displaced.Start = end;
            }
            else
            {
                displaced.Release();
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
                Displace(session, to, to + length);
            }

            message.Step = RemapStep.PlaceIsFree;
        }

        DisplacedRange? owner = session.Displaced.Find(range => range.Regions.Count > 0 && range.Overlaps(from, from + length) && !range.Overlaps(to, to + length));
        if (message.Step == RemapStep.PlaceIsFree && owner is not null)
        {
            MoveDisplaced(session, owner, from, to, length);
            message.Step = RemapStep.Done;
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
    private static void RestoreAwaited(Session session)
    {
        foreach (AwaitedRange range in session.Ledger.ReadAwaited())
        {
            session.HasAwaitedOnRecord = true;
            if (range.IsDisplaced)
            {
                session.Displaced.Add(new DisplacedRange(range.Start, range.End));
            }
            else
            {
                session.Vacated.Add((range.Start, range.End));
            }
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
            .. session.Vacated.Select(range => new AwaitedRange(range.Start, range.End, IsDisplaced: false)),
            .. session.Displaced.Select(range => new AwaitedRange(range.Start, range.End, IsDisplaced: true))]);
        bool hasContents = !isWhole || session.Displaced.Exists(range => range.Regions.Count > 0);
        if (hasContents != session.Ledger.HasDisplaced)
        {
            session.Ledger.HasDisplaced = hasContents;
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

        session.Displaced.ForEach(range => range.Release());
        session.Displaced.Clear();
        session.Vacated.Clear();
        RecordAwaited(session);
    }

    private void ApplyUnmapOf(Session session, ulong start, ulong end)
    {
        if (start < end)
        {
            ApplyUnmap(session, start, end);
        }
    }

    // Sets aside what lies in [start, end), so that the range is free for who arrives. On record before anything is cut: who finds the range cut must know that
    // its unmap is still to come.
    private void Displace(Session session, ulong start, ulong end)
    {
        CollectTouched(session, start, end);
        if (_touched.Count == 0)
        {
            return;
        }

        foreach (Region region in _touched)
        {
            DisplacedRange displaced = new(Math.Max(start, region.Start), Math.Min(end, region.End));
            if (!session.Vacated.Exists(range => range.Start < displaced.End && displaced.Start < range.End))
            {
                displaced.Regions.Add(region.Derive(displaced.Start, displaced.End, region.OffsetOf(displaced.Start), region.Generation));
                KeepPages(session, displaced);
            }

            session.Displaced.Add(displaced);
        }

        RecordAwaited(session);
        ApplyUnmap(session, start, end);
        session.Vacated.RemoveAll(range => range.Start >= start && range.End <= end);
    }

    private static void KeepPages(Session session, DisplacedRange displaced)
    {
        ulong cursor = displaced.Start;
        while (session.Pages.NextRun(cursor, displaced.End, out ulong stop, out PageState state))
        {
            PageState kind = state & PageState.StateMask;
            if (kind is PageState.Present or PageState.Removed or PageState.Poisoned)
            {
                displaced.Pages.Add((cursor, stop, kind));
            }

            cursor = stop;
        }
    }

    // The former owner of a range tells at last where he went.
    private void MoveDisplaced(Session session, DisplacedRange owner, ulong from, ulong to, ulong length)
    {
        ulong end = from + length;
        foreach (Region region in owner.Regions.Where(region => region.Start < end && from < region.End))
        {
            ulong start = Math.Max(from, region.Start);
            ulong stop = Math.Min(end, region.End);
            session.Regions.Add(region.Derive(to + (start - from), to + (stop - from), region.OffsetOf(start), region.Generation));
            session.Tenant.Usage.ForceRegions(1, (long)(stop - start));
        }

        foreach ((ulong Start, ulong End, PageState State) run in owner.Pages.Where(run => run.Start < end && from < run.End))
        {
            ulong start = to + (Math.Max(from, run.Start) - from);
            ulong stop = to + (Math.Min(end, run.End) - from);
            if (!session.Pages.TrySetRange(start, stop, run.State))
            {
                Kill(session, start, "the manager has no memory to follow mremap");
                break;
            }

            if (run.State == PageState.Present)
            {
                AddResident(session, (long)(stop - start));
            }
        }

        owner.Release();
    }
}
