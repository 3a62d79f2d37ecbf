using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Engine.State;
using UffdManager.Engine.Telemetry;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Pages of shared images: filled once for everybody, then mapped, or copied where they cannot be.</content>
internal sealed partial class FaultLoop
{
    private InstallOutcome InstallContinue(Session session, Region region, ulong page, ulong length)
    {
        UffdResult result = Userfaultfd.Continue(session.Lease, page, length, CopyMode(session, region, page + length));
        if (result.Errno == Errno.EINVAL && (_engine.KernelFeatures & UffdFeatures.MinorShmem) == UffdFeatures.None)
        {
            // Kernels before 5.14 cannot map a page of shared memory for somebody else, but the page is in the cache now: a fault
            // that is tried again finds it.
            _ = Userfaultfd.Wake(session.Lease, page, length);
            return InstallOutcome.Installed;
        }

        if (result.Errno == Errno.EEXIST)
        {
            _ = Userfaultfd.Wake(session.Lease, page, length);
        }

        if (result.Errno is Errno.OK or Errno.EEXIST)
        {
            MarkPresent(session, region, page, page + length);
        }
        else
        {
            session.LastRefusal = result.Errno;
        }

        return InstallOutcomes.From(result.Errno);
    }

    // One page of a shared image: filled once for everybody, then mapped for this client.
    private void ServeShared(in FaultContext asked)
    {
        FaultContext fault = NoteVanishedOfImage(in asked);
        SharedImage image = fault.Region.Image!;
        long offset = fault.Region.OffsetOf(fault.Page);
        if ((fault.State & PageState.StateMask) == PageState.Absent)
        {
            NoteTouch(in fault, fault.Page, (int)fault.Region.PageBytes);
        }

        if (!image.Contains(offset, (long)fault.Region.PageBytes))
        {
            GiveUp(in fault, $"it lies beyond the end of image {image.Name}");
            return;
        }

        switch (TryFillShared(fault.Session, image, offset, (int)fault.Region.PageBytes))
        {
            case SharedFill.Filled:
                SettleNote(in asked, in fault, MapShared(in fault, image, offset));
                break;
            case SharedFill.Busy:
                DeferOrGiveUp(in fault, DeferralReason.SharedFill, "another session fetches the same page of the image, and its source does not answer");
                break;
            case SharedFill.Slow:
                // The claim goes with the ticket.
                StartFetch(in fault, fault.Page, (int)fault.Region.PageBytes);
                break;
            case SharedFill.Unfillable:
                InstallOwnCopy(in fault, image, offset);
                break;
            default:
                DeferOrGiveUp(in fault, DeferralReason.NoMemory, "the shared image cannot grow: no memory is left for it");
                break;
        }
    }

    // Fills a page of a shared image if that can be done at once. On Slow the page is claimed, and whoever asked must end the claim.
    private SharedFill TryFillShared(Session session, SharedImage image, long offset, int length)
    {
        if (image.IsFilled(offset))
        {
            return SharedFill.Filled;
        }

        if (!image.CanFill)
        {
            return SharedFill.Unfillable;
        }

        if (!image.TryClaim(offset))
        {
            return image.IsFilled(offset) ? SharedFill.Filled : SharedFill.Busy;
        }

        CrashPoints.Visit(CrashPoint.ImageClaimed);

        SourceAnswer answer = image.Source.TryGet(image.SourceOffsetOf(offset), length, _scratch, out SourcePages pages);
        if (answer == SourceAnswer.Slow || (answer == SourceAnswer.Ready && pages.Length < length))
        {
            image.Source.Release(in pages);
            return SharedFill.Slow;
        }

        Errno stored = answer == SourceAnswer.Zero ? image.StoreZero(offset, length) : image.Store(offset, pages.Address, length);
        image.Source.Release(in pages);
        CrashPoints.Visit(CrashPoint.ImageFilled);
        image.EndClaim(offset, stored == Errno.OK);
        if (stored != Errno.OK)
        {
            return SharedFill.NoMemory;
        }

        AddCopied(session, length);
        Charge(session, (ulong)length);
        return SharedFill.Filled;
    }

    // Who may not write the image maps it privately: what the image should have shown, one client gets for itself.
    private void InstallOwnCopy(in FaultContext fault, SharedImage image, long offset)
    {
        int length = (int)fault.Region.PageBytes;
        PageSource source = image.Source;
        SourceAnswer answer = source.TryGet(image.SourceOffsetOf(offset), length, _scratch, out SourcePages pages);
        switch (answer)
        {
            case SourceAnswer.Ready when pages.Length >= length:
                InstallCopy(in fault, fault.Page, pages.Address, (ulong)length);
                break;
            case SourceAnswer.Zero:
                InstallZeros(in fault, fault.Page, (ulong)length);
                break;
            default:
                StartFetch(in fault, fault.Page, length);
                break;
        }

        source.Release(in pages);
    }

    private InstallOutcome MapShared(in FaultContext fault, SharedImage image, long offset)
    {
        InstallOutcome outcome = InstallContinue(fault.Session, fault.Region, fault.Page, fault.Region.PageBytes);
        if (outcome == InstallOutcome.SourceFault && image.StoreZero(offset, (int)fault.Region.PageBytes) == Errno.OK)
        {
            // Filled once, and a hole now: a client punched it (MADV_REMOVE), which means zeros.
            outcome = InstallContinue(fault.Session, fault.Region, fault.Page, fault.Region.PageBytes);
        }

        Conclude(in fault, fault.Page, outcome, FaultOutcome.Continued);
        return outcome;
    }
}
