using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Tracking;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <content>Registering for write protection what a client has registered without it.</content>
internal sealed partial class FaultLoop
{
    // One system call each; some 100 us. An inflated balloon of an old monitor leaves some ten thousand mappings, or one of some GiB.
    private const int ProbesPerSlice = 256;

    // Registers a region for write protection besides what it is registered for, in slices until it says done. The record follows the kernel: a mode too many there means nothing.
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

        if (session.Snapshot is not null && LosesUnseen(session, region, presence))
        {
            failure = Unprotectable(region, Errno.EOPNOTSUPP, "it is a private mapping of an object, and the userfaultfd was made without EVENT_REMOVE: contents that the client gives back before they are saved would be lost unseen");
            return WriteProtectStep.Failed;
        }

        WriteProtectStep step = TakeInHoles(session, region, presence, out failure);
        return step != WriteProtectStep.Done || (region.Modes & UffdRegisterModes.WriteProtect) != 0
            ? step
            : TellsOfHoles(session, region) || !presence.HasMappings || !presence.IsCurrent(region)
            ? AddWriteProtect(session, region, region.Start, region.End, out failure)
            : AddInPieces(session, region, presence, out failure);
    }

    // Whether the kernel puts the object's contents in the place of what a client has given back, without a word.
    private static bool LosesUnseen(Session session, Region region, PresenceMap presence) =>
        (session.Features & UffdFeatures.EventRemove) == 0 && !region.TellsImageTouches && presence.IsCurrent(region) && presence.IsMapped(region.Start, region.End)
        && !presence.IsPrivateAnonymous(region, region.Start, region.End) && !presence.IsShared(region.Start, region.End);

    // Whether what the client maps over a region is told by an event, or cannot be found.
    private static bool TellsOfHoles(Session session, Region region) =>
        (session.Features & UffdFeatures.EventUnmap) != 0 || (region.Modes & UffdRegisterModes.Missing) == 0;

    // What the client has mapped over a region without an event (a balloon of old monitors does so) is not registered any more, and the kernel fills it with zeros. From here on it
    // is again: missing pages of it go on being zeros, not what the source has there.
    //
    // The look at the mappings is older than what the kernel says now, so it proves nothing of a hole: a balloon that grows into the mapping behind it leaves the first page of that without a
    // registration, and all the others with it. Two things hold:
    // - A page that the kernel refuses (ENOENT) lies in memory without a registration, and none but this thread and the client's own UFFDIO_REGISTER gives it one; all else (mmap, munmap, mremap
    //   without its event) only takes it away. So it goes on being a hole until it is taken in, whatever the client does meanwhile. Every page that becomes Removed was refused itself.
    // - One page that is not refused answers for the rest of its mapping: it was registered at the look too, and a mapping is registered as a whole. What is a hole behind it came after the
    //   look: it is for the next list; an arming that meets it refuses.
    private static WriteProtectStep TakeInHoles(Session session, Region region, PresenceMap presence, out EngineResult? failure)
    {
        failure = null;
        ulong cursor = Math.Max(region.Start, PageSize.AlignDown(presence.HolesKnownBelow, region.PageBytes));
        if (TellsOfHoles(session, region) || cursor >= region.End)
        {
            return WriteProtectStep.Done;
        }

        int probes = ProbesPerSlice;
        foreach (VmaInfo mapping in presence.MappingsWithin(cursor, region.End))
        {
            if (probes == 0)
            {
                return WriteProtectStep.Progress;
            }

            ulong from = PageSize.AlignUp(Math.Max(mapping.Start, cursor), region.PageBytes);
            ulong to = Math.Min(mapping.End, region.End);
            Errno errno = FindHole(session, region, (from, to), ref probes, out ulong end);
            if (errno == Errno.EAGAIN && end <= from)
            {
                return WriteProtectStep.TryAgain;
            }

            // What was refused is taken in, whatever changes meanwhile: a client that always gives something back would have all of a large hole asked after anew.
            WriteProtectStep step = from < end ? TakeIn(session, region, presence, (from, end), out failure) : WriteProtectStep.Done;
            if (step != WriteProtectStep.Done)
            {
                return step;
            }

            // Where it ran out of probes, or was told to wait, the hole may go on.
            presence.HolesKnownBelow = errno is Errno.ENOENT or Errno.EAGAIN ? end : to;
            if (presence.HolesKnownBelow < to)
            {
                return WriteProtectStep.Progress;
            }
        }

        presence.HolesKnownBelow = region.End;
        return WriteProtectStep.Done;
    }

    // What the kernel said of the last page that it was asked of; ENOENT of all of them up to the end.
    private static Errno FindHole(Session session, Region region, (ulong From, ulong To) mapping, ref int probes, out ulong end)
    {
        Errno errno = Errno.OK;
        for (end = mapping.From; end < mapping.To && probes > 0; end += region.PageBytes)
        {
            probes--;
            errno = Userfaultfd.ProbeFill(session.Lease, end, region.PageBytes);
            if (errno != Errno.ENOENT)
            {
                break;
            }
        }

        return errno;
    }

    // The record comes first: a manager that is killed in between finds the hole once more, one that is killed afterwards has noted it.
    private static WriteProtectStep TakeIn(Session session, Region region, PresenceMap presence, (ulong From, ulong To) hole, out EngineResult? failure)
    {
        if (region.IsHuge || !presence.IsPrivateAnonymous(region, hole.From, hole.To))
        {
            failure = Unprotectable(region, Errno.EOPNOTSUPP, $"the client has mapped something else in 0x{hole.From:x}+0x{hole.To - hole.From:x}, of which its userfaultfd does not tell");
            return WriteProtectStep.Failed;
        }

        ForgetResident(session, hole.From, hole.To);
        if (!session.Pages.TrySetRange(hole.From, hole.To, PageState.Removed | (region.IsTracked ? PageState.Dirty : PageState.Absent)))
        {
            failure = NoPageTable();
            return WriteProtectStep.Failed;
        }

        // That piece alone: with all of the region whatever else was mapped over since the look at the mappings would come in unseen.
        return AddWriteProtect(session, region, hole.From, hole.To, out failure);
    }

    private static WriteProtectStep AddWriteProtect(Session session, Region region, ulong start, ulong end, out EngineResult? failure)
    {
        failure = null;
        Errno errno = Userfaultfd.Register(session.Uffd, start, end - start, region.Modes | UffdRegisterModes.WriteProtect, out _);
        if (errno == Errno.OK)
        {
            return WriteProtectStep.Done;
        }

        if (Userfaultfd.IsChanging(session.Lease))
        {
            // Unlike everything that fills, a registration is not refused for that: the range may be gone already, and its event still to come.
            return WriteProtectStep.TryAgain;
        }

        failure = Unprotectable(region, errno, $"UFFDIO_REGISTER for write protection: {errno.Describe()}; this kernel cannot protect that memory");
        return WriteProtectStep.Failed;
    }

    private static EngineResult Unprotectable(Region region, Errno errno, string why) =>
        new(new EngineError(EngineErrorKind.Kernel, errno, $"0x{region.Start:x}+0x{region.Length:x}: {why}"));
}
