using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Snapshots;
using UffdManager.Engine.Sources;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Pages that were there and are missing, of which no event has told.</content>
/// <remarks>
/// Either the message is late, and the page has been filled meanwhile: the kernel says EEXIST. Or the page is gone: the userfaultfd does not tell of that, it was freed lazily (MADV_FREE), or
/// a list or a snapshot found it there between the event and the end of it. Then it has other contents than when it was listed, which is noted before it has them; and what it contained at the instant of a
/// snapshot is lost, if that has not read it. A note for a late message is taken back.
/// </remarks>
internal sealed partial class FaultLoop
{
    /// <summary>How many bytes of a range that is not in memory are zeros, as far as the page table knows it.</summary>
    public ulong ZerosAt(Session session, ulong start, ulong end)
    {
        // Where an object may have contents the kernel has been asked for them, which it tells since 6.4, as it does of this feature.
        if (session.State != SessionState.Serving || session.Regions.Find(start) is not Region region
            || (region.Image is null && !IsMissingTold(region) && (_engine.KernelFeatures & UffdFeatures.WpUnpopulated) == 0)
            || !session.Pages.NextRun(start, Math.Min(end, region.End), out ulong stop, out PageState state))
        {
            return 0;
        }

        PageState kind = state & PageState.StateMask;
        return kind == PageState.Removed || (kind == PageState.Absent && region.Source.IsZero && region.Image is null) ? stop - start : 0;
    }

    private void ServeVanished(in FaultContext fault)
    {
        Region region = fault.Region;
        int length = (int)region.PageBytes;
        SourcePages pages = default;

        // Memory that was discarded reads as zeros, unless its client wants its source's contents then.
        bool isZero = (region.Flags & RegionFlags.RemoveMeansSource) == 0 || region.Source.IsZero;
        SourceAnswer answer = isZero ? SourceAnswer.Zero : region.Source.TryGet(region.OffsetOf(fault.Page), length, _scratch, out pages);
        if (!isZero)
        {
            NoteTouch(in fault, fault.Page, length);
        }

        if (answer == SourceAnswer.Zero || (answer == SourceAnswer.Ready && pages.Length >= length))
        {
            FaultContext noted = WithChange(in fault);
            InstallOutcome outcome = answer == SourceAnswer.Zero
                ? InstallZeros(in noted, fault.Page, region.PageBytes)
                : InstallCopy(in noted, fault.Page, pages.Address, region.PageBytes);
            SettleNote(in fault, in noted, outcome);
            if (outcome == InstallOutcome.Installed)
            {
                NoteVanished(in fault);
            }
        }
        else
        {
            FetchVanished(in fault);
        }

        if (answer == SourceAnswer.Ready)
        {
            region.Source.Release(in pages);
        }
    }

    // From a source that has to be waited for, so that the kernel does not tell at once. The waiter is sent round: after a late message it does not come back. (A huge page that is sent round counts as one for which the
    // pool has no memory.)
    private void FetchVanished(in FaultContext fault)
    {
        Session session = fault.Session;
        Region region = fault.Region;
        if (!region.IsHuge && (fault.State & PageState.Suspect) == 0)
        {
            _ = session.Pages.TrySetPage(fault.Page, region.PageBytes, fault.State | PageState.Suspect);
            _ = Userfaultfd.Wake(session.Lease, fault.Page, region.PageBytes);
            Account(session, fault.Kind, FaultOutcome.AlreadyPresent, fault.ReadAt);
            return;
        }

        if (session.Snapshot is Snapshot snapshot && !IsInMemory(snapshot, fault.Page, region.PageBytes))
        {
            NoteVanished(in fault);
        }

        FaultContext noted = WithChange(in fault);
        StartFetch(noted with { State = noted.State & ~PageState.Suspect }, fault.Page, (int)region.PageBytes);
        if ((session.Pages.Get(fault.Page) & PageState.StateMask) == PageState.InFlight)
        {
            AddResident(session, -(long)region.PageBytes);
        }
    }

    // Of an image the kernel may take a page away without the client's doing (in favour of others; it is in swap then), and its contents come back the same. That cannot be told from a page of the client's own that it has discarded:
    // each leaves the mark of its protection (zap_install_uffd_wp_if_needed of mm/memory.c).
    private static FaultContext NoteVanishedOfImage(in FaultContext fault)
    {
        Session session = fault.Session;
        bool isTold = (session.Features & UffdFeatures.EventRemove) != 0;
        if ((fault.State & PageState.StateMask) != PageState.Present)
        {
            return fault;
        }

        if (session.Snapshot is { TakenAt: not 0 } snapshot && snapshot.Holds(fault.Page)
            && (!isTold || session.Removals.TryFind(fault.Page, fault.Page + fault.Region.PageBytes, MonotonicClock.NowNanoseconds, Tracking.RecentRemovals.Span, out _, out _))
            && !IsInMemory(snapshot, fault.Page, fault.Region.PageBytes))
        {
            NoteVanished(in fault);
        }

        return isTold ? fault : WithChange(in fault);
    }

    private static bool IsInMemory(Snapshot snapshot, ulong page, ulong length)
    {
        Span<PageRegion> found = stackalloc PageRegion[1];
        PagemapScanRequest request = new() { Start = page, End = page + length, Required = PageCategories.Present, Returned = PageCategories.Present };
        return snapshot.Presence.Pagemap is SafeFile pagemap && PagemapScan.Scan(pagemap, request, found, out int count, out _) == Errno.OK && count > 0;
    }

    private static FaultContext WithChange(in FaultContext fault) => NoteChanged(in fault) ? fault with { State = fault.State | PageState.Dirty } : fault;

    // What was noted for this fault alone is taken back when nothing has changed so far. One that is tried again is noted again.
    private static void SettleNote(in FaultContext asked, in FaultContext noted, InstallOutcome outcome)
    {
        if (noted.State != asked.State && outcome is InstallOutcome.AlreadyPresent or InstallOutcome.Changing)
        {
            _ = ForgetDirty(asked.Session, asked.Page, asked.Page + asked.Region.PageBytes);
        }
    }
}
