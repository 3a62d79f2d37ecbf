using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>The way of a snapshot to its instant: protecting everything while the client writes.</content>
/// <remarks>
/// First everything is protected once, and whoever meets the protection is let go, which is noted. Then what is noted is protected again, and what is let go meanwhile is noted for the next
/// round: each is shorter than the one before, as there are fewer pages to protect and less time to write them. The last one lets nobody go. It comes when few pages are left, or when
/// rounds do not get shorter (<see cref="LiftedPages"/>). A round in which the client's regions change was not the last one: whom it held is let go, and everything is protected anew. So a writer waits for one fault, or for the last round, which is long only where very many pages are written in a round, and then by the MiB and not by the page.
/// </remarks>
internal sealed partial class FaultLoop
{
    // How long faults may have to wait for a slice, nanoseconds, and how much is protected at a time: some 30 us where all of it is there.
    private const long FreezeSlice = 30_000;
    private const ulong FreezePiece = 1UL << 20;

    // Who has begun anew so often gets one round in which nobody is let go, instead of several in which the map may change once more.
    private const int PatientRestarts = 4;

    // Looked at in some 30 us: at what the mappings say of each.
    private const int RegionsPerSlice = 64;

    /// <summary>One slice of protecting everything; done at the instant of the snapshot.</summary>
    public WriteProtectStep Freeze(Snapshot snapshot, out EngineResult? failure)
    {
        Session session = snapshot.Session;
        if (!TryPump(session, out failure))
        {
            return WriteProtectStep.Failed;
        }

        if (snapshot.Failure is EngineError cancelled)
        {
            failure = new EngineResult(cancelled);
            return WriteProtectStep.Failed;
        }

        if (session.Snapshot is not null && session.Snapshot != snapshot)
        {
            failure = new EngineResult(new EngineError(EngineErrorKind.State, Errno.EBUSY, "another snapshot of the session has not been undone"));
            return WriteProtectStep.Failed;
        }

        if (session.Snapshot is null)
        {
            // On record before the first page is protected: a successor lets go of whatever is.
            snapshot.ArmBegan = MonotonicClock.NowNanoseconds;
            session.Snapshot = snapshot;
            session.Reads = snapshot.Reads = snapshot.Reads.Join(session.Reads);
            session.IsFrozen = true;
            session.Record();
            CheckRecorded(session);
            Post(new StallCommand(snapshot));
            return WriteProtectStep.Progress;
        }

        if (!snapshot.IsRegistered)
        {
            return RegisterForSnapshot(snapshot, out failure);
        }

        if (session.Regions.FindOverlap(snapshot.ArmCursor, ulong.MaxValue) is Region region)
        {
            return ArmForSnapshot(snapshot, region, out failure);
        }

        if (!snapshot.IsPreparedFor(session.Regions.Version))
        {
            // What moved below the cursor may have been above it before. What is protected stays so until somebody writes it.
            snapshot.BeginAgain();
            LetGoHeld(snapshot);
            failure = snapshot.ArmRestarts <= MaximumRestarts ? null : KeepsChanging();
            return failure is null ? WriteProtectStep.Progress : WriteProtectStep.Failed;
        }

        if (snapshot.ArmRestarts >= PatientRestarts)
        {
            // Over what is noted so far, and no further pass: that may be long.
            snapshot.Lifted.Hold(MonotonicClock.NowNanoseconds);
        }

        if (!snapshot.Lifted.IsEmpty)
        {
            return ProtectAgain(snapshot, out failure);
        }

        // What is about to change is told by an event that is still to come.
        return Userfaultfd.IsChanging(session.Lease) ? WriteProtectStep.TryAgain : TakeSnapshot(snapshot, out failure);
    }

    private WriteProtectStep RegisterForSnapshot(Snapshot snapshot, out EngineResult? failure)
    {
        Session session = snapshot.Session;
        failure = null;
        if (snapshot.ArmCursor == 0)
        {
            // What comes below the cursor from here on is for the next pass.
            snapshot.ArmVersion = session.Regions.Version;
            snapshot.Found.Clear();
        }

        // Where nothing is to be done many regions are one slice: each turn is one more in which a client may register something, so that everything begins anew.
        bool isQuick = true;
        for (int regions = 0; isQuick && regions < RegionsPerSlice; regions++)
        {
            if (session.Regions.FindOverlap(snapshot.ArmCursor, ulong.MaxValue) is not Region region)
            {
                return BeginProtecting(snapshot, out failure);
            }

            WriteProtectStep step = TryRegister(snapshot, region, out isQuick, out failure);
            if (step != WriteProtectStep.Done)
            {
                return step;
            }

            snapshot.ArmCursor = region.End;
        }

        return WriteProtectStep.Progress;
    }

    // What is to be known of the regions at the instant is known now, unless one comes or goes until then.
    private static WriteProtectStep BeginProtecting(Snapshot snapshot, out EngineResult? failure)
    {
        failure = null;
        if (!snapshot.TryPrepare([.. snapshot.Found]))
        {
            failure = new EngineResult(new EngineError(EngineErrorKind.Limit, Errno.ENOMEM, "the manager has no memory to note which pages of the session are to be saved"));
            return WriteProtectStep.Failed;
        }

        snapshot.Found.Clear();
        (snapshot.IsRegistered, snapshot.ArmCursor) = (true, 0);
        return WriteProtectStep.Progress;
    }

    private WriteProtectStep TryRegister(Snapshot snapshot, Region region, out bool isQuick, out EngineResult? failure)
    {
        Session session = snapshot.Session;
        bool isRegistered = (region.Modes & UffdRegisterModes.WriteProtect) != 0;
        failure = null;
        isQuick = (region.Flags & RegionFlags.Mailbox) != 0 || (isRegistered && (session.Features & UffdFeatures.EventUnmap) != 0);
        if ((region.Flags & RegionFlags.Mailbox) != 0)
        {
            return WriteProtectStep.Done;
        }

        WriteProtectStep step = TryAddWriteProtect(session, region, snapshot.Presence, out failure);
        if (step == WriteProtectStep.Done && !isRegistered)
        {
            session.Regions.ChangeFlags(region.Start, region.End, RegionFlags.None, RegionFlags.None, UffdRegisterModes.WriteProtect);
            CheckRecorded(session);
            region = session.Regions.Find(region.Start)!;
        }

        if (step == WriteProtectStep.Done)
        {
            FrozenRegion? before = snapshot.Found.LastOrDefault();
            snapshot.Found.Add(FrozenRegion.Of(region, snapshot.Presence, before?.PageIndexOf(before.End) ?? 0));
        }

        return step;
    }

    private static WriteProtectStep ArmForSnapshot(Snapshot snapshot, Region region, out EngineResult? failure)
    {
        failure = null;

        // Without the mode it came after the cursor of the registering had passed: the map has changed since then, and everything begins anew at its end.
        if ((region.Flags & RegionFlags.Mailbox) != 0 || (region.Modes & UffdRegisterModes.WriteProtect) == 0)
        {
            snapshot.ArmCursor = region.End;
            return WriteProtectStep.Progress;
        }

        long until = MonotonicClock.NowNanoseconds + FreezeSlice;
        ulong piece = Math.Max(FreezePiece, region.PageBytes);
        ulong start = Math.Max(snapshot.ArmCursor, region.Start);
        do
        {
            ulong stop = Math.Min(region.End, PageSize.AlignDown(start, piece) + piece);
            WriteProtectStep step = TryArm(snapshot, region, start, stop, out failure);
            if (step != WriteProtectStep.Progress)
            {
                return step;
            }

            snapshot.ArmCursor = start = stop;
        }
        while (start < region.End && MonotonicClock.NowNanoseconds < until);
        return WriteProtectStep.Progress;
    }

    // Pages whose writers were let go meanwhile, by address. The regions are those that they had then.
    private static WriteProtectStep ProtectAgain(Snapshot snapshot, out EngineResult? failure)
    {
        long began = MonotonicClock.NowNanoseconds;
        LiftedPages lifted = snapshot.Lifted;
        lifted.BeginRound(began);
        failure = null;
        while (lifted.TryNext(out long page))
        {
            FrozenRegion frozen = snapshot.Regions.FindNumber(page);
            long step = (long)frozen.PageBytes / PageSize.Base;
            ulong start = frozen.AddressOf(page);
            Region? region = snapshot.Session.Regions.Find(start);
            ulong stop = start + frozen.PageBytes;
            if (step == 1 && region is not null)
            {
                // What lies between is protected, and stays so.
                stop = frozen.AddressOf(lifted.EndOfStretch(page, frozen.PageIndexOf(Math.Min(Math.Min(region.End, frozen.End), start + FreezePiece))));
            }

            WriteProtectStep armed = region is null ? WriteProtectStep.Progress : TryArm(snapshot, region, start, stop, out failure);
            if (armed != WriteProtectStep.Progress)
            {
                return armed;
            }

            for (long last = frozen.PageIndexOf(stop); page < last; page += step)
            {
                lifted.Drop(page);
            }

            if (MonotonicClock.NowNanoseconds >= began + FreezeSlice)
            {
                break;
            }
        }

        return WriteProtectStep.Progress;
    }

    private static WriteProtectStep TryArm(Snapshot snapshot, Region region, ulong start, ulong stop, out EngineResult? failure)
    {
        failure = null;
        Errno errno = Arm(snapshot.Session, region, snapshot.Presence, start, stop);
        if (errno is Errno.OK or Errno.EAGAIN)
        {
            return errno == Errno.OK ? WriteProtectStep.Progress : WriteProtectStep.TryAgain;
        }

        failure = NotArmed(start, stop, errno);
        return WriteProtectStep.Failed;
    }

    private static WriteProtectStep TakeSnapshot(Snapshot snapshot, out EngineResult? failure)
    {
        failure = null;
        if (snapshot.Regions.Count == 0)
        {
            failure = new EngineResult(new EngineError(EngineErrorKind.NotFound, Errno.ENOENT, "the session has no region"));
            return WriteProtectStep.Failed;
        }

        snapshot.Take(MonotonicClock.NowNanoseconds);
        WakeHeld(snapshot);
        return WriteProtectStep.Done;
    }

    // The round that was to be the last one was not: everything is protected anew, and nobody waits for a pass over all of it.
    private static void LetGoHeld(Snapshot snapshot)
    {
        if (!snapshot.Lifted.TryLetGo())
        {
            return;
        }

        while (snapshot.Urgent.TryTake(out _))
        {
        }

        // Not by the pages that are noted as urgent: there is room for some thousands only.
        snapshot.Guard.Forget();
        _ = Userfaultfd.WakeAll(snapshot.Session.Lease);
    }

    // Whom the last round held need not wait for the reader to begin: most of them are let go in their next fault.
    private static void WakeHeld(Snapshot snapshot)
    {
        while (snapshot.Urgent.TryTake(out ulong page))
        {
            if (snapshot.Regions.Find(page) is FrozenRegion region)
            {
                _ = Userfaultfd.Wake(snapshot.Session.Lease, page, region.PageBytes);
            }
        }
    }
}
