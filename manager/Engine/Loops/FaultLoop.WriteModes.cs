using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Registering for write protection what a client has registered without it.</content>
internal sealed partial class FaultLoop
{
    // Registers a region for write protection besides what it is registered for. The record follows the kernel: a mode too many there means nothing.
    private WriteProtectStep TryAddWriteProtect(Session session, Region region, PresenceMap presence, out EngineResult? failure)
    {
        failure = null;
        if ((region.Modes & UffdRegisterModes.Missing) == 0 && (session.Features & (UffdFeatures.WpUnpopulated | UffdFeatures.WpHugetlbfsShmem)) == 0)
        {
            failure = Unprotectable(region, Errno.EOPNOTSUPP, "first touches are not reported (its mode is not missing), and the userfaultfd was made without WP_UNPOPULATED: writes would go unseen");
            return WriteProtectStep.Failed;
        }

        if ((region.Modes & UffdRegisterModes.Minor) != 0 && (_engine.KernelFeatures & UffdFeatures.WpUnpopulated) == 0)
        {
            failure = Unprotectable(region, Errno.EOPNOTSUPP, "pages of a shared image cannot be mapped write-protected before Linux 6.4 (UFFDIO_CONTINUE_MODE_WP)");
            return WriteProtectStep.Failed;
        }

        bool hasHoles = false;
        if ((session.Features & UffdFeatures.EventUnmap) == 0 && (region.Modes & UffdRegisterModes.Missing) != 0)
        {
            WriteProtectStep step = TakeInHoles(session, region, presence, ref hasHoles, out failure);
            if (step != WriteProtectStep.Progress)
            {
                return step;
            }
        }

        // An earlier snapshot may have added the mode, and the client have mapped over something since.
        if ((region.Modes & UffdRegisterModes.WriteProtect) != 0 && !hasHoles)
        {
            return WriteProtectStep.Progress;
        }

        Errno errno = Userfaultfd.Register(session.Uffd, region.Start, region.Length, region.Modes | UffdRegisterModes.WriteProtect, out _);
        if (errno != Errno.OK && Userfaultfd.IsChanging(session.Lease))
        {
            // Unlike everything that fills, a registration is not refused for that: the range may be gone already, and its event still to come.
            return WriteProtectStep.TryAgain;
        }

        if (errno != Errno.OK)
        {
            failure = Unprotectable(region, errno, $"UFFDIO_REGISTER for write protection: {errno.Describe()}; this kernel cannot protect that memory");
            return WriteProtectStep.Failed;
        }

        return WriteProtectStep.Progress;
    }

    // What the client has mapped over a region without an event (a balloon of old monitors does so) is not registered any more, and the kernel fills it with zeros. Who
    // registers the region anew takes that in as well: missing pages of it must go on being zeros, not what the source has there.
    private static WriteProtectStep TakeInHoles(Session session, Region region, PresenceMap presence, ref bool hasHoles, out EngineResult? failure)
    {
        failure = null;
        foreach (VmaInfo mapping in presence.MappingsWithin(region.Start, region.End))
        {
            ulong from = PageSize.AlignUp(Math.Max(mapping.Start, region.Start), region.PageBytes);
            ulong to = Math.Min(mapping.End, region.End);
            Errno errno = from < to ? Userfaultfd.ProbeFill(session.Lease, from, region.PageBytes) : Errno.OK;
            if (errno == Errno.EAGAIN)
            {
                return WriteProtectStep.TryAgain;
            }

            if (errno != Errno.ENOENT)
            {
                continue;
            }

            if (region.IsHuge || !presence.IsPrivateAnonymous(region, from, to))
            {
                failure = Unprotectable(region, Errno.EOPNOTSUPP, $"the client has mapped something else in 0x{from:x}+0x{to - from:x}, of which its userfaultfd does not tell");
                return WriteProtectStep.Failed;
            }

            hasHoles = true;
            ForgetResident(session, from, to);
            if (!session.Pages.TrySetRange(from, to, PageState.Removed | (region.IsTracked ? PageState.Dirty : PageState.Absent)))
            {
                failure = NoPageTable();
                return WriteProtectStep.Failed;
            }
        }

        return WriteProtectStep.Progress;
    }

    private static EngineResult Unprotectable(Region region, Errno errno, string why) =>
        new(new EngineError(EngineErrorKind.Kernel, errno, $"0x{region.Start:x}+0x{region.Length:x}: {why}"));
}
