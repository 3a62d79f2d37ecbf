using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Snapshots of running clients: holding writers back until what they write over has been read.</content>
internal sealed partial class FaultLoop
{
    // A list of runs for the reader: some 20 us.
    private const int RunsPerPlan = 256;
    private const ulong BytesPerPlan = 256UL << 20;

    // Below that of a command.
    private const long ThawPatience = 5_000_000_000;

    /// <summary>What the pages from an address on are at this moment; the reader has them look up to their ends.</summary>
    public static List<SnapshotRun> Plan(Snapshot snapshot, ulong from)
    {
        List<SnapshotRun> runs = [];
        Session session = snapshot.Session;
        ulong planned = 0;
        for (int index = snapshot.Regions.FirstAbove(from); index < snapshot.Regions.Count && runs.Count < RunsPerPlan && planned < BytesPerPlan; index++)
        {
            FrozenRegion region = snapshot.Regions[index];
            ulong cursor = snapshot.Read.Skip(region, Math.Max(from, region.Start), region.End);
            while (cursor < region.End && runs.Count < RunsPerPlan && planned < BytesPerPlan && snapshot.Failure is null)
            {
                // Until its pages have been read a range can neither move nor be registered anew without ending the snapshot.
                Region? live = session.State == SessionState.Serving ? session.Regions.Find(cursor) : null;
                if (live is null || !session.Pages.NextRun(cursor, Math.Min(region.End, live.End), out ulong stop, out PageState state))
                {
                    snapshot.Fail(EngineErrorKind.State, Errno.ESRCH, "the session is over");
                    break;
                }

                AddRun(runs, region, live, cursor, stop, state);
                planned += stop - cursor;
                cursor = snapshot.Read.Skip(region, stop, region.End);
            }
        }

        return runs;
    }

    /// <summary>
    /// Lets writers of pages that have been read go on. What was read is what was there at the instant only if the memory is still the one that was protected then:
    /// if not, this ends the snapshot.
    /// </summary>
    /// <returns>EAGAIN to be asked again, before it is noted that the pages were read: a change of the address space is under way, of which an event will tell.</returns>
    public static Errno Release(Snapshot snapshot, ulong start, ulong end)
    {
        Session session = snapshot.Session;
        if (session.State != SessionState.Serving || snapshot.Failure is not null)
        {
            // Who waits is woken by what ended it.
            return Errno.OK;
        }

        if (Userfaultfd.IsChanging(session.Lease))
        {
            return Errno.EAGAIN;
        }

        for (ulong cursor = start; session.Regions.FindOverlap(cursor, end) is Region region; cursor = region.End)
        {
            Errno errno = LetGo(session, region, Math.Max(cursor, region.Start), Math.Min(end, region.End));
            switch (errno)
            {
                case Errno.OK:
                    break;
                case Errno.EAGAIN:
                    return errno;
                case Errno.ENOENT:
                    snapshot.Fail(
                        EngineErrorKind.State,
                        Errno.ECANCELED,
                        $"the client has unmapped 0x{start:x}+0x{end - start:x} or mapped something else there before it was saved, of which its userfaultfd does not tell");
                    return Errno.OK;
                case Errno.ESRCH:
                    snapshot.Fail(EngineErrorKind.State, errno, "the client is gone");
                    return Errno.OK;
                default:
                    snapshot.Fail(EngineErrorKind.Kernel, errno, $"UFFDIO_WRITEPROTECT 0x{start:x}+0x{end - start:x}: {errno.Describe()}");
                    return Errno.OK;
            }
        }

        return Errno.OK;
    }

    // Where somebody else needs the protection it stays. That it is there is asked of the kernel where no event tells of what is mapped over it.
    private static Errno LetGo(Session session, Region region, ulong start, ulong end)
    {
        if ((region.Modes & UffdRegisterModes.WriteProtect) == 0)
        {
            // All that was there at the instant is registered for it: this came after the pages that were here had been saved.
            return Errno.OK;
        }

        if (!region.SeesWrites)
        {
            return Userfaultfd.WriteProtect(session.Lease, start, end - start, protect: false);
        }

        Errno errno = (session.Features & UffdFeatures.EventUnmap) != 0 ? Errno.OK : Userfaultfd.WriteProtect(session.Lease, start, end - start, protect: true);
        return errno == Errno.OK ? Userfaultfd.Wake(session.Lease, start, end - start) : errno;
    }

    /// <summary>Nothing of a snapshot reads any more. What its reads may have left is heeded for as long as there is any.</summary>
    public static bool CloseReads(Session session, ClientReads reads)
    {
        bool isOver = reads.Close();
        if (session.Reads == reads)
        {
            if (!isOver)
            {
                return false;
            }

            session.Reads = null;
        }

        reads.Dispose();
        return true;
    }

    /// <summary>One slice of letting go of everything.</summary>
    public WriteProtectStep Thaw(Session session, Snapshot? snapshot, ref ulong cursor)
    {
        if (snapshot is not null && session.Snapshot == snapshot && !snapshot.IsLetGo)
        {
            // Read, but not yet let go: until then a change of the address space may turn up that had begun before.
            snapshot.ThawBegan = snapshot.ThawBegan == 0 ? _now : snapshot.ThawBegan;
            if (_now - snapshot.ThawBegan < ThawPatience)
            {
                return WriteProtectStep.TryAgain;
            }

            snapshot.Fail(EngineErrorKind.Kernel, Errno.EAGAIN, "the client's address space keeps changing");
        }

        bool isComplete = snapshot is not null && snapshot.Failure is null;
        if (snapshot is not null && session.Snapshot == snapshot)
        {
            session.Snapshot = null;
            if (!isComplete && session.State == SessionState.Serving)
            {
                // Their faults come again, and are served as ever.
                WakeEverything(session);
            }
        }

        if (session.State != SessionState.Serving)
        {
            return WriteProtectStep.Done;
        }

        // Of a snapshot that is complete every page was let go when it was read.
        if (!isComplete && session.Regions.FindOverlap(cursor, ulong.MaxValue) is Region region)
        {
            ulong start = Math.Max(cursor, region.Start);
            ulong stop = EndOfSlice(region, start);
            if (!region.SeesWrites && (region.Modes & UffdRegisterModes.WriteProtect) != 0
                && Userfaultfd.WriteProtect(session.Lease, start, stop - start, protect: false) == Errno.EAGAIN)
            {
                Pump(session);
                return WriteProtectStep.TryAgain;
            }

            cursor = stop;
            return WriteProtectStep.Progress;
        }

        session.IsFrozen = false;
        session.Record();
        CheckRecorded(session);
        return WriteProtectStep.Done;
    }

    // Whether what is installed in a range must not be written without a fault.
    private static bool MustProtect(Session session, Region region, ulong end) =>
        region.SeesWrites || (session.Snapshot is Snapshot snapshot && (region.Modes & UffdRegisterModes.WriteProtect) != 0 && snapshot.MayHold(end));

    // A page was there and is not any more, of which no event has told: what it contained at the instant is lost.
    private static void NoteVanished(in FaultContext fault)
    {
        if (fault.Session.Snapshot is { TakenAt: not 0 } snapshot && snapshot.Holds(fault.Page))
        {
            snapshot.Fail(EngineErrorKind.State, Errno.ECANCELED, $"the client gave back 0x{fault.Page:x} before it was saved, of which its userfaultfd does not tell");
        }
    }

    // Pages are given back: ends a snapshot that still needs what they contained. Zeros become zeros, and what was never there comes from where it was.
    private static void NoteLost(Session session, Region region, ulong from, ulong to)
    {
        if (session.Snapshot is not { TakenAt: not 0 } snapshot)
        {
            return;
        }

        // What can come without a fault may be there whatever is known of it.
        bool isReadThrough = snapshot.Regions.Find(from) is { IsReadThrough: true };
        bool isLoss = isReadThrough || (StateAfterRemoval(region) & PageState.StateMask) != PageState.Absent;
        ulong cursor = from;
        while (snapshot.Failure is null && session.Pages.NextRun(cursor, to, out ulong stop, out PageState state))
        {
            PageState kind = state & PageState.StateMask;
            if (kind is PageState.Present or PageState.Poisoned || isReadThrough || (isLoss && kind != PageState.Removed))
            {
                snapshot.RangeChanges(cursor, stop, "gave back");
            }

            cursor = stop;
        }
    }

    // Whether nothing can be read of a page only where a touch would be reported as missing. Of an image it may be there and not in the client's page tables.
    private static bool IsMissingTold(Region region) =>
        region.Image is null && (region.Modes & (UffdRegisterModes.Missing | UffdRegisterModes.Minor)) == UffdRegisterModes.Missing;

    private static void AddRun(List<SnapshotRun> runs, FrozenRegion region, Region live, ulong start, ulong stop, PageState state)
    {
        bool isZero = live.Source.IsZero && live.Image is null;
        SnapshotRunKind kind = (state & PageState.StateMask) switch
        {
            PageState.Present => SnapshotRunKind.Memory,
            PageState.Poisoned => SnapshotRunKind.Poisoned,
            _ when region.IsReadThrough && !IsMissingTold(live) => SnapshotRunKind.Memory,
            PageState.Removed => SnapshotRunKind.Untouched,
            _ => isZero ? SnapshotRunKind.Untouched : SnapshotRunKind.Source,
        };
        Sources.PageSource? source = null;
        long offset = 0;
        if (kind == SnapshotRunKind.Source)
        {
            source = live.Image?.Source ?? live.Source;
            offset = live.Image is { } image ? image.SourceOffsetOf(live.OffsetOf(start)) : live.OffsetOf(start);
        }

        if (runs.Count > 0 && runs[^1] is var last && last.End == start && last.Region == region && last.Kind == kind
            && ReferenceEquals(last.Source, source) && (source is null || last.SourceOffset + (long)(start - last.Start) == offset))
        {
            runs[^1] = last with { End = stop };
        }
        else
        {
            runs.Add(new SnapshotRun(region, start, stop, kind, source?.AddReference(), offset));
        }
    }
}
