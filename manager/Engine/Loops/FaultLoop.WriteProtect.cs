using UffdManager.Engine.Policies;
using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.State;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>The command that protects a range, in steps.</content>
internal sealed partial class FaultLoop
{
    // Some millisecond at 91 ns a page. Other faults are served between two slices.
    private const ulong WriteProtectSlice = 32 * 1024 * 1024;

    /// <summary>Arms or lifts one slice of a range; the cursor says how far it got.</summary>
    public WriteProtectStep WriteProtect(Session session, ref ulong cursor, ulong end, bool protect, out EngineResult? failure)
    {
        failure = null;
        if (session.State != SessionState.Serving)
        {
            failure = s_over;
            return WriteProtectStep.Failed;
        }

        Pump(session);
        CollectTouched(session, cursor, end);
        if (end <= cursor || _touched.Count == 0 || _touched.Any(region => (region.Modes & UffdRegisterModes.WriteProtect) == 0))
        {
            failure = NotFound(cursor, end - cursor, " with the mode write-protect");
            return WriteProtectStep.Failed;
        }

        ulong stop = Math.Min(end, PageSize.AlignDown(cursor, WriteProtectSlice) + WriteProtectSlice);

        // What a snapshot has not saved stays protected; it lifts that itself then, as nobody else wants it any more. And what is tracked is protected for that.
        bool isHeld = !protect
            && (session.Snapshot is Snapshot snapshot && (snapshot.TakenAt == 0 || snapshot.HoldsAny(cursor, stop)) || _touched.Any(region => region.IsTracked));
        Errno errno = isHeld ? Errno.OK : Userfaultfd.WriteProtect(session.Lease, cursor, stop - cursor, protect);
        if (errno == Errno.EAGAIN)
        {
            return WriteProtectStep.TryAgain;
        }

        if (errno != Errno.OK)
        {
            failure = new EngineResult(new EngineError(EngineErrorKind.Kernel, errno, $"UFFDIO_WRITEPROTECT 0x{cursor:x}+0x{stop - cursor:x}: {errno.Describe()}"));
            return WriteProtectStep.Failed;
        }

        ArmMissing(session, cursor, stop, protect);
        CheckRecorded(session);
        cursor = stop;
        return cursor >= end ? WriteProtectStep.Done : WriteProtectStep.Progress;
    }

    // Pages of an armed range that are missing now must be filled armed: a plain UFFDIO_COPY would wipe the kernel's marker, and the
    // first write would go unseen.
    private static void ArmMissing(Session session, ulong start, ulong end, bool protect)
    {
        int before = session.Regions.Count;
        session.Regions.ChangeFlags(
            start,
            end,
            protect ? RegionFlags.WriteProtected : RegionFlags.None,
            protect ? RegionFlags.None : RegionFlags.WriteProtected);
        session.Tenant.Usage.ForceRegions(session.Regions.Count - before, 0);
    }
}
