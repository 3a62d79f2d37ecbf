using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Filling pages: the system calls, their partial results, and what the page table learns from them.</content>
internal sealed partial class FaultLoop
{
    private InstallOutcome InstallCopy(in FaultContext fault, ulong start, nuint address, ulong length)
    {
        UffdCopyModes mode = FaultCopyMode(in fault, start, length);
        InstallOutcome outcome = Fill(fault.Session, fault.Region, fault.Page, start, length, address, mode, out ulong installed);
        AddCopied(fault.Session, (long)installed);
        Charge(fault.Session, installed);
        Conclude(in fault, start, outcome, FaultOutcome.Copied);
        return outcome;
    }

    private InstallOutcome InstallZeros(in FaultContext fault, ulong start, ulong length)
    {
        Region region = fault.Region;

        // The zero page costs no memory, but the first write then takes a second fault in the kernel: it is for single reads. In a
        // write-protected region it would leave a moment in which a write goes unseen.
        bool shared = length == region.PageBytes && !fault.IsWrite && !MustProtect(fault.Session, region, start + length) && HasZeroPage(region);
        UffdCopyModes mode = FaultCopyMode(in fault, start, length);
        InstallOutcome outcome = Fill(fault.Session, region, fault.Page, start, length, shared ? 0 : _zeros, mode, out ulong installed);
        if (shared && outcome == InstallOutcome.AlreadyPresent && MayHaveMark(region))
        {
            outcome = Fill(fault.Session, region, fault.Page, start, length, _zeros, mode, out installed);
        }

        AddZeroed(fault.Session, (long)installed);
        Charge(fault.Session, installed);
        Conclude(in fault, start, outcome, FaultOutcome.Zeroed);
        return outcome;
    }

    private void InstallMailbox(in FaultContext fault)
    {
        NativePages.Clear(_scratch, (nuint)fault.Region.PageBytes);
        NativePages.At<ulong>(_scratch) = fault.Session.ForkToken;
        InstallOutcome outcome = Fill(fault.Session, fault.Region, fault.Page, fault.Page, fault.Region.PageBytes, _scratch, UffdCopyModes.None, out _);
        Conclude(in fault, fault.Page, outcome, FaultOutcome.Copied);
    }

    /// <summary>
    /// Installs [start, start + length) from a buffer (0: the kernel's zero page) and marks what was done.
    /// </summary>
    /// <returns>What became of <paramref name="page"/>, the one somebody waits for; the rest of the window is a bonus.</returns>
    private static InstallOutcome Fill(Session session, Region region, ulong page, ulong start, ulong length, nuint address, UffdCopyModes mode, out ulong installed)
    {
        ulong cursor = start;
        ulong end = start + length;
        InstallOutcome ofPage = InstallOutcome.Installed;
        installed = 0;
        while (cursor < end)
        {
            UffdResult result = address == 0
                ? Userfaultfd.ZeroPage(session.Lease, cursor, end - cursor)
                : Userfaultfd.Copy(session.Lease, cursor, address + (nuint)(cursor - start), end - cursor, mode);
            ulong progress = result.Errno == Errno.OK ? end - cursor : (ulong)result.Progress;
            if (progress > 0)
            {
                CrashPoints.Visit(CrashPoint.PageFilled);
                MarkPresent(session, region, cursor, cursor + progress);
                installed += progress;
                cursor += progress;
                continue;
            }

            InstallOutcome outcome = InstallOutcomes.From(result.Errno);
            session.LastRefusal = result.Errno;
            switch (outcome)
            {
                case InstallOutcome.AlreadyPresent:
                    outcome = MeetPresent(session, region, cursor);
                    if (outcome == InstallOutcome.AlreadyPresent)
                    {
                        ofPage = cursor == page ? outcome : ofPage;
                        cursor += region.PageBytes;
                        continue;
                    }

                    break;
                case InstallOutcome.Stale when end - cursor > region.PageBytes && cursor <= page:
                    // The window crosses the border of a mapping. The page itself may be fine.
                    start = AdvanceTo(page, start, ref address);
                    cursor = page;
                    end = page + region.PageBytes;
                    continue;
                case InstallOutcome.Stale when cursor <= page:
                    _ = Userfaultfd.Wake(session.Lease, page, region.PageBytes);
                    break;
                default:
                    break;
            }

            return cursor > page ? ofPage : outcome;
        }

        return ofPage;
    }

    private static ulong AdvanceTo(ulong page, ulong start, ref nuint address)
    {
        if (address != 0)
        {
            address += (nuint)(page - start);
        }

        return page;
    }

    // EEXIST. On base pages it means what it says. On huge pages it is also how the kernel says that the pool is empty, so the first one is
    // only noted, and its waiters sent round once more: if the page really is there they never come back.
    private static InstallOutcome MeetPresent(Session session, Region region, ulong page)
    {
        if (region.IsHuge)
        {
            PageState known = session.Pages.Get(page);
            if ((known & PageState.Suspect) != 0)
            {
                return InstallOutcome.HugePoolEmpty;
            }

            PageState state = known & PageState.StateMask;
            if (state != PageState.Present)
            {
                // A page that was given back stays so: it is zeros that it waits for.
                _ = session.Pages.TrySetPage(page, region.PageBytes, (state == PageState.InFlight ? PageState.Absent : state) | (known & PageState.Dirty) | PageState.Suspect);
                _ = Userfaultfd.Wake(session.Lease, page, region.PageBytes);
                return InstallOutcome.AlreadyPresent;
            }
        }

        MarkPresent(session, region, page, page + region.PageBytes);
        _ = Userfaultfd.Wake(session.Lease, page, region.PageBytes);
        return InstallOutcome.AlreadyPresent;
    }

    // What was noted of a page's contents stays noted.
    private static void MarkPresent(Session session, Region region, ulong start, ulong end)
    {
        if (end - start == region.PageBytes)
        {
            PageState state = session.Pages.Get(start);
            if ((state & PageState.StateMask) != PageState.Present)
            {
                AddResident(session, (long)region.PageBytes);
            }

            _ = session.Pages.TrySetPage(start, region.PageBytes, PageState.Present | (state & PageState.Dirty));
            return;
        }

        for (ulong page = start; page < end; page += region.PageBytes)
        {
            PageState state = session.Pages.Get(page);
            if ((state & PageState.StateMask) != PageState.Present)
            {
                AddResident(session, (long)region.PageBytes);
                _ = session.Pages.TrySetPage(page, region.PageBytes, PageState.Present | (state & PageState.Dirty));
            }
        }
    }

    private void Conclude(in FaultContext fault, ulong start, InstallOutcome outcome, FaultOutcome success)
    {
        switch (outcome)
        {
            case InstallOutcome.Installed:
                Account(fault.Session, fault.Kind, success, fault.ReadAt);
                break;
            case InstallOutcome.AlreadyPresent:
                Account(fault.Session, fault.Kind, FaultOutcome.AlreadyPresent, fault.ReadAt);
                break;
            case InstallOutcome.Changing:
                Defer(in fault, DeferralReason.Changing);
                break;
            case InstallOutcome.Stale:
                Account(fault.Session, fault.Kind, FaultOutcome.Stale, fault.ReadAt);
                break;
            case InstallOutcome.ClientGone:
                Account(fault.Session, fault.Kind, FaultOutcome.ClientGone, fault.ReadAt);
                break;
            case InstallOutcome.NoMemory:
                DeferOrGiveUp(in fault, DeferralReason.NoMemory, "no memory is left in the client's control group or on the machine");
                break;
            case InstallOutcome.HugePoolEmpty:
                if (fault.Attempts == 0)
                {
                    _engine.Publish(new HugePoolExhausted(_now, fault.Session, fault.Page));
                }

                DeferOrGiveUp(in fault, DeferralReason.HugePoolEmpty, "the pool of huge pages is empty");
                break;
            case InstallOutcome.SourceFault when !fault.Region.Source.IsZero && fault.Region.Image is null:
                StartFetch(in fault, fault.Page, (int)fault.Region.PageBytes);
                break;
            case InstallOutcome.SourceFault:
            default:
                GiveUp(in fault, $"the kernel refused to fill it ({fault.Session.LastRefusal.Describe()})");
                break;
        }
    }

    private static UffdCopyModes CopyMode(Session session, Region region, ulong end) =>
        MustProtect(session, region, end) ? UffdCopyModes.WriteProtect : UffdCopyModes.None;

    // The page that a write waits for need not fault a second time: that it is written is known. Its neighbours are only read ahead. For a snapshot a
    // write must not go on, known or not.
    private static UffdCopyModes FaultCopyMode(in FaultContext fault, ulong start, ulong length)
    {
        Region region = fault.Region;
        bool isKnown = fault.IsWrite && length == region.PageBytes && fault.Session.Snapshot is null
            && (!region.IsTracked || TryNoteDirty(fault.Session, region, fault.Page));
        return isKnown ? UffdCopyModes.None : CopyMode(fault.Session, region, start + length);
    }

    // Before the write goes on: a manager that is killed in between may have noted one that never came, but none is missed.
    private static bool TryNoteDirty(Session session, Region region, ulong page) =>
        session.Pages.TrySetPage(page, region.PageBytes, session.Pages.Get(page) | PageState.Dirty);

    private static bool HasZeroPage(Region region) => (region.Ioctls & UffdIoctls.ZeroPage) != 0;

    private void Charge(Session session, ulong bytes)
    {
        long limit = session.Tenant.Limits.CopiedBytesPerSecond;
        if (limit > 0 && bytes > 0)
        {
            // Already installed: the debt makes the next fault wait.
            session.Tenant.Usage.CopiedBytes.Owe((long)bytes, limit, _now);
        }
    }
}
