using UffdManager.Engine.Regions;
using UffdManager.Engine.Sessions;
using UffdManager.Engine.Sources;
using UffdManager.Linux;

namespace UffdManager.Engine.Loops;

/// <summary>Finds what a client has added to a mapping with mremap(2), for which the kernel has no event.</summary>
internal static class Growth
{
    /// <summary>
    /// Looks for the region of an address that faulted where none is known. The region below is extended, or, where something unregistered lies
    /// between by now, continued behind it.
    /// </summary>
    /// <param name="session">Whose memory. On its loop.</param>
    /// <param name="address">That faulted, in memory that is registered.</param>
    /// <param name="grown">The region that holds the address now; null but for <see cref="GrowthAnswer.Grown"/>.</param>
    public static GrowthAnswer Find(Session session, ulong address, out Region? grown)
    {
        grown = null;
        if (session.Pid == 0)
        {
            return GrowthAnswer.Unconnected;
        }

        switch (ProcessMap.Find(session.Pid, address, out ulong start, out ulong end))
        {
            case Errno.OK:
                break;
            case Errno.ENOENT or Errno.EACCES or Errno.EPERM:
                return GrowthAnswer.Unconnected;
            default:
                // No descriptors, no memory: nobody is given up for that.
                return GrowthAnswer.Unsure;
        }

        Region? below = session.Regions.FindBelow(address);
        if (below is null || (below.Flags & RegionFlags.Mailbox) != 0)
        {
            return GrowthAnswer.Unconnected;
        }

        ulong tail = below.End;
        if (start >= below.End && !TryFindTail(session, below.End, address, out tail, out end))
        {
            return GrowthAnswer.Unconnected;
        }

        // A change that began while we looked may be what we saw. Its end comes only with our reading of its event.
        if (Userfaultfd.IsChanging(session.Lease))
        {
            return GrowthAnswer.Unsure;
        }

        Region? next = session.Regions.FindOverlap(tail, end);
        ulong stop = Math.Min(end, next?.Start ?? end);
        if (below.Image is SharedImage image)
        {
            // Beyond its image a mapping has nothing but SIGBUS to offer; and nobody but the client says that it maps the image at all.
            stop = Math.Min(stop, below.Start + (ulong)Math.Max(0, image.Length - below.SourceOffset));
        }

        if (stop <= address)
        {
            return GrowthAnswer.Unconnected;
        }

        grown = Extend(session, below, tail, stop);
        return GrowthAnswer.Grown;
    }

    private static Region Extend(Session session, Region below, ulong tail, ulong stop)
    {
        if (tail == below.End)
        {
            session.Tenant.Usage.ForceRegions(0, (long)(stop - below.End));
            return session.Regions.Extend(below, stop);
        }

        Region continued = below.Derive(tail, stop, below.OffsetOf(tail), below.Generation);
        session.Tenant.Usage.ForceRegions(1, (long)continued.Length);
        session.Regions.Add(continued);
        return continued;
    }

    // What was grown may have been split by mprotect, or replaced in part by a mapping of which we were not told, before it was first touched.
    // It hangs together with the region below as long as mappings of one kind follow each other without a gap.
    private static bool TryFindTail(Session session, ulong regionEnd, ulong address, out ulong start, out ulong end)
    {
        start = end = 0;

        // Not smaps, which walks all page tables of the client.
        IReadOnlyList<VmaInfo> mappings = ProcessInfo.ReadMaps(session.Pid);
        int index = 0;
        while (index < mappings.Count && mappings[index].End <= address)
        {
            index++;
        }

        if (index == mappings.Count || mappings[index].Start > address)
        {
            return false;
        }

        VmaInfo faulting = mappings[index];
        bool isRegistered = true;
        (start, end) = (faulting.Start, faulting.End);

        // Down to the mapping that holds the region's last page, which must be of the same kind too.
        while (mappings[index].Start >= regionEnd)
        {
            if (index == 0 || mappings[index - 1] is not VmaInfo lower || lower.End != mappings[index].Start
                || lower.Inode != faulting.Inode || lower.Shared != faulting.Shared)
            {
                return false;
            }

            isRegistered = isRegistered && Userfaultfd.ProbeFill(session.Lease, lower.End - (ulong)PageSize.Base, (ulong)PageSize.Base) != Errno.ENOENT;
            if (isRegistered)
            {
                start = Math.Max(lower.Start, regionEnd);
            }

            index--;
        }

        return true;
    }
}
