using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Writers of pages that a snapshot needs as they are.</content>
internal sealed partial class FaultLoop
{
    // True when nothing is left to do for the writer of a page: it waits, for the page to be read or for the instant; or the page was saved here, and it goes on.
    // Internal for the tests: that a change of the address space begins just behind the read cannot be forced.
    internal bool ServeForSnapshot(in FaultContext fault)
    {
        if (fault.Session.Snapshot is not Snapshot snapshot || snapshot.Failure is not null || !snapshot.Holds(fault.Page) || snapshot.TryLetGo(fault.Page))
        {
            return false;
        }

        if (snapshot.TakenAt != 0 && snapshot.Regions.Find(fault.Page) is { IsReadThrough: false } region && region.PageBytes == (ulong)PageSize.Base
            && snapshot.Saver.TrySave(snapshot, region, fault.Page))
        {
            return ConcludeSaved(in fault, snapshot, region);
        }

        snapshot.Hold(fault.Page, _now);
        Account(fault.Session, fault.Kind, FaultOutcome.Held, fault.ReadAt);
        return true;
    }

    // The page was read, and that the memory is still what it was is asked now: as for a page that the reader has read.
    private bool ConcludeSaved(in FaultContext fault, Snapshot snapshot, FrozenRegion region)
    {
        snapshot.Progress.Saved(1);
        if (snapshot.Saver.Count == snapshot.Saver.Half)
        {
            snapshot.CallReader();
        }

        Errno errno = Release(snapshot, fault.Page, fault.Page + region.PageBytes);
        if (errno == Errno.EAGAIN)
        {
            Post(new ReleasePageCommand(snapshot, region, fault.Page));
        }

        if (errno == Errno.EAGAIN || snapshot.Failure is not null)
        {
            snapshot.Guard.Await(fault.Page, _now, isInTurn: false);
            Account(fault.Session, fault.Kind, FaultOutcome.Held, fault.ReadAt);
            return true;
        }

        snapshot.NoteRead(region, fault.Page, _now);
        if (fault.Region.SeesWrites)
        {
            // Somebody else wants to know of the write.
            return false;
        }

        MarkPresent(fault.Session, fault.Region, fault.Page, fault.Page + region.PageBytes);
        Account(fault.Session, fault.Kind, FaultOutcome.Unprotected, fault.ReadAt);
        return true;
    }
}
